// Apache-2.0.
#include "pts/oracles/reading_oracle.h"

#include <utility>

namespace pivotal::pts {

ReadingOracle::ReadingOracle(Reader response, Reader answer)
    : response_(std::move(response)), answer_(std::move(answer)) {}

bool ReadingOracle::Judge(const Attempt& attempt) const {
  const auto want = answer_(attempt.answer);
  const auto said = BehindReasoning(attempt.response);
  return want && said && response_(*said) == want;
}

bool ReadingOracle::CanRead(std::string_view answer) const { return answer_(answer).has_value(); }

}  // namespace pivotal::pts
