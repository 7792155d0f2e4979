// Apache-2.0. Judges answers in mathematics.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pivotal/oracle.h"

namespace pivotal::pts {

// Returns the content of the last \boxed{} (or \fbox{}, "\boxed 5", "\boxed5"). Boxes with nothing
// but "and", "or" and commas between them are joined to a list, as are "x=\boxed{1}, y=\boxed{2}"
// with their names; of equal boxes one counts. Returns nullopt without a box or for an empty one.
std::optional<std::string> BoxedAnswer(std::string_view text);

// Finds the answer that a response states and compares it with the reference as mathematics
// (compare.h). What is no mathematics is compared as text, without spaces and decoration.
class MathOracle : public Oracle {
 public:
  bool Judge(const Attempt& attempt) const override;
  bool CanRead(std::string_view answer) const override;
  std::optional<std::string> Answer(std::string_view response) const override;
  bool SameAnswer(std::string_view a, std::string_view b) const override;
};

// Compares two answers as the oracle does, without looking for them in a text. Their order does not
// matter.
bool SameMathText(std::string_view a, std::string_view b);

}  // namespace pivotal::pts
