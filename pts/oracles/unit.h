// Apache-2.0. Units of measure, as far as answers in words name them.
#pragma once

#include <optional>
#include <string_view>

#include "pts/oracles/rational.h"

namespace pivotal::pts {

struct Unit {
  std::string_view dimension;  // "length", "money"
  Rational factor;             // in the dimension's own unit
};

// The unit of a word or sign ("km", "Hours", "$", "percent"); nullopt for words that are none, and
// for "in", which mostly is the preposition.
std::optional<Unit> FindUnit(std::string_view word);

}  // namespace pivotal::pts
