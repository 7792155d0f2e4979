// Apache-2.0. Oracles that read one item of each text (a number, a letter, a match) and compare.
#pragma once

#include <memory>
#include <string_view>

#include "pivotal/oracle.h"

namespace pivotal::pts {

// Makes the oracle "last-number", "hash", "exact", "choice", "numeric" or "regex:PATTERN"
// (include/pivotal/oracle.h). Returns nullptr for any other name. Throws Error where PATTERN is
// missing, is malformed or names <think> or </think>.
std::unique_ptr<const Oracle> MakeSimpleOracle(std::string_view name);

}  // namespace pivotal::pts
