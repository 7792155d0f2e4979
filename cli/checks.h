// Apache-2.0. Checks of the values of options. Each says in the help text what it accepts.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace pivotal::cli {

// Returns a check that accepts the numbers of an interval that is written like this: "(0, 1]"
// holds what is above 0 and at most 1; "[0, inf)" has no upper end.
CLI::Validator Interval(const std::string& interval);

// Returns a check that accepts the whole numbers from `least` to `most`. The help text leaves out
// an upper end of 2^20 or more, which is a limit of the program and none of the matter, and 0 as
// the lower end beside it.
CLI::Validator Whole(int64_t least, int64_t most = std::numeric_limits<int64_t>::max());

// Returns a check that accepts these names. For another one it names the nearest.
CLI::Validator OneOf(std::vector<std::string> names);

// Returns the names of an option's OneOf(); {} if it has none.
std::vector<std::string> ChoicesOf(const CLI::Option& option);

// Makes every option of `app` and its commands refuse an empty value, which scripts give by
// accident (--output "$UNSET"); and every option of a whole number what CLI11 takes for another
// number: "-1" where none may be negative, numbers that do not fit, and "010", which it reads as
// octal. Call it once all options are added.
void CheckAllOptions(CLI::App& app);

}  // namespace pivotal::cli
