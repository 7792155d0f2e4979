// Apache-2.0. HumanEval's and MBPP's lines: problems that a program solves, with their tests.
// For .cc files: nlohmann/json stays out of headers.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "data/problem_set.h"

namespace pivotal::data {

// The problem of a line with `task_id` and either `entry_point` and `test` (HumanEval) or
// `test_list` (MBPP); nullopt for other lines. The answer is a compact JSON text that the code
// oracle reads; FORMATS.md has its keys. Throws Error that begins with `where` for a line of these
// formats that lacks a key or has a wrong type.
std::optional<Problem> ReadCodeProblem(const nlohmann::json& object, std::string_view where);

}  // namespace pivotal::data
