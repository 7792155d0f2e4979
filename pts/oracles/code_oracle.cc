// Apache-2.0.
#include "pts/oracles/code_oracle.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "data/error.h"
#include "pts/oracles/code_runner.h"
#include "pts/oracles/code_task.h"
#include "pts/oracles/code_text.h"
#include "pts/oracles/reasoning.h"
#include "pts/oracles/sandbox.h"

namespace pivotal::pts {
namespace {

constexpr int kAttempts = 3;  // at a start that fails for want of memory or processes

std::string FirstLine(std::string_view text) {
  const std::string line(text.substr(0, text.find('\n')));
  return line.empty() ? "it said nothing" : line;
}

// What keeps `sandbox` from running and judging the simplest program; "": nothing.
std::string Obstacle(const Sandbox& sandbox, OracleOptions options) {
  options.timeout = std::max(options.timeout, 10.0);  // a slow machine is none
  const CodeJob job{.context = "", .solution = "x = 1", .take = {}, .defines = {},
                    .tests = {"assert x == 1"}};
  try {
    const CodeOutcome outcome = RunCode(sandbox, job, options);
    if (outcome.passed) return "";
    return outcome.started ? "a first program did not pass its test: " + FirstLine(outcome.errors)
                           : FirstLine(outcome.errors);
  } catch (const Error& error) {
    return error.what();
  }
}

Sandbox ChooseSandbox(const OracleOptions& options) {
  Sandbox bubblewrap(Sandbox::Kind::kBubblewrap, options);
  std::string obstacle = Obstacle(bubblewrap, options);
  if (obstacle.empty()) return bubblewrap;
  if (!options.allow_unsandboxed)
    Fail("oracle code: bubblewrap cannot run Python here ({}); install bubblewrap and python3 and "
         "allow user namespaces, or run model-written programs without a sandbox with "
         "--allow-unsandboxed", obstacle);
  Sandbox none(Sandbox::Kind::kNone, options);
  obstacle = Obstacle(none, options);
  if (!obstacle.empty())
    Fail("oracle code: /usr/bin/python3 cannot be run ({}); install python3", obstacle);
  return none;
}

class CodeOracle : public Oracle {
 public:
  explicit CodeOracle(const OracleOptions& options)
      : options_(options), sandbox_(ChooseSandbox(options)) {}

  bool Judge(const Attempt& attempt) const override {
    const auto task = ReadCodeTask(attempt.answer);
    const auto said = BehindReasoning(attempt.response);
    if (!task || !said) return false;
    const CodeJob job = MakeCodeJob(*task, attempt.question, FindProgram(*said));
    for (int left = kAttempts; ; std::this_thread::sleep_for(std::chrono::milliseconds(100))) {
      const CodeOutcome outcome = RunCode(sandbox_, job, options_);
      if (outcome.started) return outcome.passed;
      if (--left == 0)
        Fail("oracle code: a program could not be started {} times ({}); is the machine out of "
             "memory or processes?", kAttempts, FirstLine(outcome.errors));
    }
  }
  bool CanRead(std::string_view answer) const override { return ReadCodeTask(answer).has_value(); }

 private:
  const OracleOptions options_;
  const Sandbox sandbox_;
};

}  // namespace

std::unique_ptr<const Oracle> MakeCodeOracle(const OracleOptions& options) {
  return std::make_unique<CodeOracle>(options);
}

}  // namespace pivotal::pts
