// Apache-2.0. Tasks of HumanEval and MBPP as the code oracle reads them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace pivotal::data {

// Return the answer of a problem for the code oracle, a compact JSON text whose keys are in
// data/FORMATS.md. The object has HumanEval's keys `entry_point` and `test`, or MBPP's `test_list`
// and, if they are there, `test_imports`, `test_setup_code` and `code`. Throw Error that begins
// with `where` for a key that is missing or has a value of a wrong type.
std::string HumanEvalAnswer(const nlohmann::json& object, std::string_view where);
std::string MbppAnswer(const nlohmann::json& object, std::string_view where);

// Returns the question of a task of MBPP: its text and the tests, as in the paper (arXiv
// 2108.07732), because only they name the function to be written.
std::string MbppQuestion(const std::string& text, const nlohmann::json& object,
                         std::string_view where);

}  // namespace pivotal::data
