// Apache-2.0.
#include "pts/oracles/code/code_oracle.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "data/base/error.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "pts/oracles/code/program_text.h"
#include "pts/oracles/code/runner.h"
#include "pts/oracles/code/sandbox.h"

namespace pivotal {
namespace {

template <typename T>
void CheckRange(std::string_view name, T value, T low, T high) {
  if (!(value >= low && value <= high))
    Fail("oracle {} must lie between {} and {}, not {}", name, low, high, value);
}

}  // namespace

void OracleOptions::Validate() const {
  CheckRange("timeout (seconds)", timeout, 0.1, 86'400.0);
  CheckRange<int64_t>("memory (MiB)", memory, 64, 1 << 20);  // Python alone takes about 30
  CheckRange("processes", processes, 4, 4096);
  CheckRange<int64_t>("output (KiB)", output, 1, 1 << 20);
  CheckRange<int64_t>("files (MiB)", files, 1, 1 << 20);
  CheckRange("threads", threads, 0, 4096);
  CheckRange("max_failures (share of verdicts)", max_failures, 0.0, 1.0);
}

int32_t OracleOptions::ThreadsOrCores() const {
  if (threads > 0) return threads;
  return std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
}

}  // namespace pivotal

namespace pivotal::pts {
namespace {

using nlohmann::json;

std::vector<std::string> Strings(const json& object, const char* key) {
  return object.contains(key) ? object[key].get<std::vector<std::string>>()
                              : std::vector<std::string>();
}

}  // namespace

std::optional<CodeTask> ReadCodeTask(std::string_view answer) {
  CodeTask task;
  try {
    const json object = data::ParseJsonObject(answer, "answer");
    if (object.contains("entry_point")) {
      task.entry_point = object["entry_point"].get<std::string>();
      task.test = object.at("test").get<std::string>();
      if (task.entry_point.empty() || task.test.empty()) return std::nullopt;
      return task;
    }
    task.tests = Strings(object, "tests");
    task.defines = Strings(object, "defines");
    task.setup = object.value("setup", "");
  } catch (const Error&) {
    return std::nullopt;
  } catch (const json::exception&) {  // a value of the wrong type
    return std::nullopt;
  }
  if (task.tests.empty()) return std::nullopt;
  return task;
}

namespace {

// Returns the readings with the definitions of other blocks around them, then the readings alone.
std::vector<std::string> Surrounded(const FoundProgram& found,
                                    const std::vector<std::string>& readings) {
  std::vector<std::string> solutions;
  if (!found.before.empty() || !found.after.empty()) {
    for (const std::string& reading : readings)
      solutions.push_back(found.before + reading + "\n" + found.after);
  }
  solutions.insert(solutions.end(), readings.begin(), readings.end());
  return solutions;
}

}  // namespace

CodeJob MakeCodeJob(const CodeTask& task, std::string_view question, std::string_view response) {
  CodeJob job;
  if (task.entry_point.empty()) {
    const FoundProgram found = FindProgram(response, task.defines);
    job.solutions = Surrounded(found, ProgramReadings(found.text));
    job.defines = task.defines;
    job.tests.push_back(task.setup);
    job.tests.insert(job.tests.end(), task.tests.begin(), task.tests.end());
    return job;
  }
  job.context = question;
  const std::vector<std::string> names = {task.entry_point};
  const FoundProgram found = FindProgram(response, names);
  std::vector<std::string> readings;
  if (IsCompletion(found.text, task.entry_point)) {
    readings = CompletionReadings(found.text, task.entry_point);
    for (std::string& reading : readings) reading.insert(0, question);
  } else {
    readings = ProgramReadings(found.text);
  }
  job.solutions = Surrounded(found, readings);
  job.take = {task.entry_point};
  job.tests = {task.test, "check(" + task.entry_point + ")"};
  return job;
}

namespace {

constexpr int kAttempts = 3;  // attempts to start a program, for want of memory or processes

std::string FirstLine(std::string_view text) {
  const std::string line(text.substr(0, text.find('\n')));
  return line.empty() ? "it said nothing" : line;
}

// Returns why `sandbox` cannot run and judge the simplest program; "" if it can.
std::string Obstacle(const Sandbox& sandbox, OracleOptions options) {
  options.timeout = std::max(options.timeout, 10.0);  // a slow machine is no obstacle
  const CodeJob job{
      .context = "", .solutions = {"x = 1"}, .take = {}, .defines = {}, .tests = {"assert x == 1"}};
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
    Fail(
        "oracle code: bubblewrap cannot run Python here ({}); install bubblewrap and python3 and "
        "allow user namespaces, or run model-written programs without a sandbox with "
        "--allow-unsandboxed",
        obstacle);
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
    const auto said = data::FinalResponse(attempt.response);
    if (!task || !said) return false;
    const CodeJob job = MakeCodeJob(*task, attempt.question, *said);
    for (int left = kAttempts;; std::this_thread::sleep_for(std::chrono::milliseconds(100))) {
      const CodeOutcome outcome = Run(job);
      if (outcome.started) return outcome.passed;
      if (--left == 0)
        throw NoVerdict(
            NoVerdictCause::kStart,
            fmt::format("oracle code: a program could not be started {} times ({}); is the machine "
                        "out of memory or processes?",
                        kAttempts, FirstLine(outcome.errors)));
    }
  }
  bool CanRead(std::string_view answer) const override { return ReadCodeTask(answer).has_value(); }

 private:
  // An Error says that the host could not run the program, too.
  CodeOutcome Run(const CodeJob& job) const {
    try {
      return RunCode(sandbox_, job, options_);
    } catch (const Error& error) {
      return {.errors = error.what()};
    }
  }

  const OracleOptions options_;
  const Sandbox sandbox_;
};

}  // namespace

std::unique_ptr<const Oracle> MakeCodeOracle(const OracleOptions& options) {
  return std::make_unique<CodeOracle>(options);
}

}  // namespace pivotal::pts
