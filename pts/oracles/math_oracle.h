// Apache-2.0. Answers in mathematics.
#pragma once

#include "pts/oracles/oracle.h"

namespace pivotal::pts {

// Reads where the response states its answer (final_answer.h) and compares it as mathematics
// (math_compare.h); what is no mathematics is compared as text, spaces and decoration aside.
class MathOracle : public Oracle {
 public:
  bool Judge(const Attempt& attempt) const override;
  bool CanRead(std::string_view answer) const override;
};

// True if two answers say the same: the comparison alone, without looking for the answers.
bool SameMathText(std::string_view reference, std::string_view response);

}  // namespace pivotal::pts
