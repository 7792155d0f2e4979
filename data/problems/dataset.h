// Apache-2.0. Well-known data sets as the Hugging Face Hub has them: which columns hold what, what
// a question is made of, and which oracle judges. data/FORMATS.md describes them.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "pivotal/problem.h"

namespace pivotal::data {

struct Dataset;  // a row of the table in dataset.cc

// Returns a data set by name. Throws Error that lists the names.
const Dataset& DatasetNamed(std::string_view name);

// Returns what reads a line under `options`: their data set, or else HumanEval or MBPP for a line
// that has their keys and no question where no keys were chosen, or else plain problems.
const Dataset& DatasetOf(const ProblemSetOptions& options, const nlohmann::json& line);

// Makes a problem of line `number`. Keys that `options` name win over those of the data set. Throws
// Error that begins with `where` and names the key that is missing or has a value of a wrong type.
Problem ReadProblem(const Dataset& set, const ProblemSetOptions& options,
                    const nlohmann::json& line, std::size_t number, const std::string& where);

}  // namespace pivotal::data
