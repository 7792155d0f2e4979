// Apache-2.0. Who decides whether a response solves its problem.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "pts/oracles/oracle_options.h"
#include "pts/oracles/reasoning.h"

namespace pivotal::pts {

// What an oracle judges; the texts outlive the call.
struct Attempt {
  std::string_view question;  // as it stands in the problem file
  std::string_view answer;  // the reference, which for GSM8K may be a worked solution that ends in
                            // "#### n": both sides are read the same way
  std::string_view response;  // decoded text without control tokens
};

// Its functions may be called from several threads at once.
class Oracle {
 public:
  virtual ~Oracle() = default;
  // A side that holds nothing to compare fails.
  virtual bool Judge(const Attempt& attempt) const = 0;
  // False where `answer` holds nothing to compare, so that every response would fail: check it
  // before a search.
  virtual bool CanRead(std::string_view answer) const = 0;
};

// Names and what they compare:
//   numeric          the last number of each side with its unit: fractions, percent, powers of ten
//                    (numeric_oracle.h)
//   math             the answers that both sides state, as mathematics in LaTeX or plain text
//                    (math_oracle.h)
//   last-number      the last number of each side ("1,234", "$5", "-2.50" read as numbers)
//   hash             the number after the last "####" of the response; the answer likewise, or
//                    its last number where it has no "####"
//   exact            the texts, white space at both ends trimmed
//   choice           the last stand-alone letter A-J ("(B)", "Answer: B"), case kept
//   regex:PATTERN    capture group 1 (or the whole match) of the last match of PATTERN (PCRE2),
//                    against the answer, both trimmed; a PATTERN that names <think> or </think>
//                    could never match and is an Error
//   code             the response is a Python program, the answer its tests (code_oracle.h)
//   command:PROGRAM  a program of the user judges (command_oracle.h)
// Numbers are compared exactly, as decimals of any length. Throws Error that lists the names, or
// says where PATTERN is malformed or which of `options` is out of range; Judge throws Error where
// PATTERN backtracks without end.
std::unique_ptr<const Oracle> MakeOracle(std::string_view name, const OracleOptions& options = {});

}  // namespace pivotal::pts
