// Apache-2.0.
#include "pts/oracles/numeric_oracle.h"

#include "pts/oracles/final_answer.h"
#include "pts/oracles/quantity.h"

namespace pivotal::pts {
namespace {

std::optional<Quantity> Read(std::string_view text) {
  if (const auto boxed = BoxedAnswer(text)) return LastQuantity(*boxed);
  if (const auto hash = text.rfind("####"); hash != std::string_view::npos)
    text.remove_prefix(hash + 4);
  return LastQuantity(text);
}

}  // namespace

bool NumericOracle::Judge(const Attempt& attempt) const {
  const auto said = BehindReasoning(attempt.response);
  const auto want = said ? Read(attempt.answer) : std::nullopt;
  const auto got = want ? Read(*said) : std::nullopt;
  return got && SameQuantity(*want, *got);
}

bool NumericOracle::CanRead(std::string_view answer) const { return Read(answer).has_value(); }

}  // namespace pivotal::pts
