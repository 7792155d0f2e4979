// Apache-2.0. Answers that are one number.
#pragma once

#include "pts/oracles/oracle.h"

namespace pivotal::pts {

// Compares the last number of each side (quantity.h): of its last \boxed{}, else of what stands
// behind its last "####", else of all of it. A box without a number holds nothing to compare.
class NumericOracle : public Oracle {
 public:
  bool Judge(const Attempt& attempt) const override;
  bool CanRead(std::string_view answer) const override;
};

}  // namespace pivotal::pts
