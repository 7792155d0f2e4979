// Apache-2.0. Oracles: who decides whether a response solves its problem.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pivotal/error.h"
#include "pivotal/problem.h"

namespace pivotal {

// Limits for the oracles that run programs. Oracles that compare texts ignore them.
struct OracleOptions {
  double timeout = 10;               // seconds of wall time for one judgement
  int64_t memory = 1024;             // MiB, for each process of a judgement and for all together
  int32_t processes = 16;            // processes and threads of one judgement (code oracle)
  int64_t output = 1024;             // KiB that a program may print; length of a command's answer
  int64_t files = 64;                // MiB: size of the largest file and of /tmp (code oracle)
  bool allow_unsandboxed = false;    // run without bubblewrap if it cannot start (code oracle)
  std::string bubblewrap = "bwrap";  // program of the code oracle's sandbox, searched in PATH
  int32_t threads = 0;               // processes of a command at most; 0: one per core
  // Largest share of verdicts that may fail (NoVerdict) before a search, an evaluation or grading
  // stops, in [0, 1]. It is taken of at least 250 verdicts, so five failures are always allowed
  // by default. This one is for all oracles.
  double max_failures = 0.02;

  // Throws Error that names the field and its range.
  void Validate() const;
  // Returns `threads`, or the number of cores for 0.
  int32_t ThreadsOrCores() const;
};

// Why an oracle has given no verdict on a response.
enum class NoVerdictCause : uint8_t {
  kTimeout,  // it took longer than OracleOptions::timeout
  kCrash,    // its program ended
  kAnswer,   // its program's answer cannot be read
  kLimit,    // it reached another limit, such as that of a pattern's backtracking
  kStart     // its program or sandbox could not be started
};
inline constexpr int kNoVerdictCauses = 5;

// Reports that an oracle cannot tell whether a response is right, which says nothing about the
// response. what() is one line that names the oracle and the reason.
class NoVerdict : public Error {
 public:
  NoVerdict(NoVerdictCause cause, const std::string& what) : Error(what), cause_(cause) {}
  NoVerdictCause cause() const { return cause_; }

 private:
  NoVerdictCause cause_;
};

// The number of verdicts, and of those that failed.
struct VerdictCounts {
  int64_t verdicts = 0;                               // failed ones included
  std::array<int64_t, kNoVerdictCauses> failed = {};  // by NoVerdictCause
  // Returns the number of failed verdicts, whatever the cause.
  int64_t Failed() const;
  // Returns "31 of 1000 verdicts failed: 30 time-outs, 1 crash"; "" if none has failed.
  std::string Text() const;
};

// What an oracle judges. The texts must outlive the call.
struct Attempt {
  std::string_view question;  // as it stands in the problem file
  std::string_view answer;    // the reference; GSM8K's worked solutions end in "#### n"
  std::string_view response;  // decoded text without control tokens
};

// Decides whether a response is right. Several threads may call its functions at once.
class Oracle {
 public:
  virtual ~Oracle() = default;
  // Returns true if the response solves the problem. A side with nothing to compare fails. Throws
  // NoVerdict if it cannot tell: the response then counts as failed, and the work goes on.
  virtual bool Judge(const Attempt& attempt) const = 0;
  // Returns false if `answer` holds nothing to compare, so that every response would fail. Check it
  // before a search.
  virtual bool CanRead(std::string_view answer) const = 0;
  // Returns the answer that a response states, as a short text: "72", "B", "3/4"; "" if it states
  // none that the oracle can read. Returns nullopt if the oracle compares no texts, as those that
  // run programs: it knows right and wrong alone. Throws NoVerdict as Judge() does.
  virtual std::optional<std::string> Answer(std::string_view response) const;
  // Returns true if the oracle takes two answers of Answer(), neither of them "", for the same.
  // That need not carry over: "3" is the same as "3 hours" and as "3 minutes".
  virtual bool SameAnswer(std::string_view a, std::string_view b) const { return a == b; }
};

// Returns true if the response solves the problem by `attempt.answer` or by one of `others`. Throws
// the first NoVerdict of the oracle if none of them is given for certain.
bool JudgeAny(const Oracle& oracle, Attempt attempt, std::span<const std::string> others);
// Returns true if the oracle can read one of the answers.
bool CanReadAny(const Oracle& oracle, std::string_view answer, std::span<const std::string> others);

// Makes an oracle by name.
//
//   numeric          compares the last number of each side with its unit: fractions, percent,
//                    powers of ten
//   math             compares the answers that both sides state as mathematics, in LaTeX or
//                    plain text
//   last-number      compares the last number of each side; "1,234", "$5" and "-2.50" are numbers
//   hash             compares the number after the last "####" of the response with that of the
//                    answer, or with the answer's last number if it has no "####"
//   exact            compares the texts without white space at both ends
//   choice           compares the letters A-J that both sides choose: the last that is said to be
//                    the answer ("the answer is (D)", "Answer: d", in a box), or else the last that
//                    stands alone ("B", "(b)")
//   regex:PATTERN    compares capture group 1 (or the whole match) of the last match of PATTERN
//                    (PCRE2) with the answer, both without white space at the ends; a PATTERN
//                    that names <think> or </think> could never match and is an Error
//   code             runs the response as a Python program against the answer's tests, in a
//                    sandbox
//   command:PROGRAM  asks a program of the user
//
// A response is read after its reasoning and up to the first token that ends a turn, such as
// <|im_end|>. Numbers are compared exactly, as decimals of any length. Throws Error that lists the
// names, says where PATTERN is malformed or that it is missing, or names the option that is out of
// range. Judge throws NoVerdict if PATTERN backtracks without end, or a program cannot be started,
// takes too long, ends or answers in another form. A Python program that the code oracle runs and
// that does so is a wrong response.
std::unique_ptr<const Oracle> MakeOracle(std::string_view name, const OracleOptions& options = {});

// A problem file and the oracle that judges responses to it.
struct ProblemSettings {
  std::filesystem::path file;
  ProblemSetOptions options;
  std::string oracle = "hash";  // name for MakeOracle
  OracleOptions oracle_options;
};

}  // namespace pivotal
