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

// Removes the first line from `text` and returns it without its line end.
std::string_view TakeLine(std::string_view& text) {
  const auto end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// Returns the number of leading blanks and tabs.
std::size_t Indent(std::string_view line) {
  return std::min(line.find_first_not_of(" \t"), line.size());
}

struct Fence {
  std::size_t indent, ticks;
  std::string mark;  // first word after the ticks, in lower case
};

std::optional<Fence> ReadFence(std::string_view line) {
  Fence fence{.indent = Indent(line), .ticks = 0, .mark = {}};
  line.remove_prefix(fence.indent);
  fence.ticks = std::min(line.find_first_not_of('`'), line.size());
  line.remove_prefix(fence.ticks);
  if (fence.ticks < 3 || line.find('`') != std::string_view::npos) return std::nullopt;
  line.remove_prefix(Indent(line));
  for (const char c : line.substr(0, line.find_first_of(" \t{"))) {
    fence.mark += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return fence;
}

// Removes the lines up to the fence that closes `open` from `text`, and that fence, and returns
// them.
std::string TakeBlock(std::string_view& text, const Fence& open) {
  std::string block;
  while (!text.empty()) {
    std::string_view line = TakeLine(text);
    const auto fence = ReadFence(line);
    if (fence && fence->ticks >= open.ticks && fence->mark.empty()) break;
    line.remove_prefix(std::min(open.indent, Indent(line)));
    block.append(line).append(1, '\n');
  }
  return block;
}

bool IsPython(std::string_view mark) {
  return mark == "python" || mark == "py" || mark == "python3";
}

// Returns true if the line begins a definition of `name`: "name(", "name:" or "name =".
bool StartsWithName(std::string_view line, std::string_view name) {
  if (!line.starts_with(name)) return false;
  line.remove_prefix(name.size());
  line.remove_prefix(Indent(line));
  return line.starts_with('(') || line.starts_with(':') ||
         (line.starts_with('=') && !line.starts_with("=="));
}

bool Defines(std::string_view line, std::string_view name) {
  for (const std::string_view keyword : {"async ", "def ", "class "}) {
    if (!line.starts_with(keyword)) continue;
    line.remove_prefix(keyword.size());
    line.remove_prefix(Indent(line));
  }
  return StartsWithName(line, name);
}

}  // namespace

std::string FindProgram(std::string_view response) {
  std::optional<std::string> marked, bare;
  for (std::string_view rest = response; !rest.empty();) {
    const auto fence = ReadFence(TakeLine(rest));
    if (!fence) continue;
    std::string block = TakeBlock(rest, *fence);
    if (IsPython(fence->mark)) {
      marked = std::move(block);
    } else if (fence->mark.empty()) {
      bare = std::move(block);
    }
  }
  if (marked) return *std::move(marked);
  if (bare) return *std::move(bare);
  return std::string(response);
}

bool IsCompletion(std::string_view program, std::string_view name) {
  bool first = true;
  while (!program.empty()) {
    const std::string_view line = TakeLine(program);
    const std::size_t indent = Indent(line);
    if (indent == line.size()) continue;  // a blank line
    if (first && indent > 0) return true;
    first = false;
    if (Defines(line, name)) return false;
  }
  return true;
}

std::string_view CutCompletion(std::string_view completion) {
  std::size_t end = completion.size();
  for (const std::string_view stop : {"\nclass", "\ndef", "\n#", "\nif __name__", "\nprint"})
    end = std::min(end, completion.find(stop));
  return completion.substr(0, end);
}

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

CodeJob MakeCodeJob(const CodeTask& task, std::string_view question, std::string_view program) {
  CodeJob job;
  job.solution = program;
  if (task.entry_point.empty()) {
    job.defines = task.defines;
    job.tests.push_back(task.setup);
    job.tests.insert(job.tests.end(), task.tests.begin(), task.tests.end());
    return job;
  }
  job.context = question;
  if (IsCompletion(program, task.entry_point))
    job.solution = std::string(question).append(CutCompletion(program));
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
      .context = "", .solution = "x = 1", .take = {}, .defines = {}, .tests = {"assert x == 1"}};
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
    const CodeJob job = MakeCodeJob(*task, attempt.question, FindProgram(*said));
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
