// Apache-2.0. Running copies of a user's program, asked from any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/base/subprocess.h"
#include "pivotal/oracle.h"

namespace pivotal::pts {

// The form of a program's answers: lines of JSON objects that `fits` accepts.
struct AnswerShape {
  std::function<bool(const nlohmann::json& object)> fits;
  std::string example;  // an answer as an example for errors
};

// The outcome of one question. A process that gave no answer is not used again.
struct CommandReply {
  std::optional<std::string> answer = std::nullopt;  // JSON of the right form
  // Without an answer: why, and one line that tells of it with the end of stderr.
  NoVerdictCause cause = NoVerdictCause::kCrash;
  std::string trouble = {};
};

// A process that runs "/bin/sh -c COMMAND" in a session of its own. Only one thread may use it at a
// time.
class CommandProcess {
 public:
  // A line of more than `max_line` bytes is not accepted as an answer. Throws Error if the process
  // cannot be started.
  CommandProcess(const std::string& command, int64_t max_line, AnswerShape shape);

  // Sends a line (without line end) and waits for the line that answers it.
  CommandReply Ask(const std::string& line, data::Subprocess::Clock::time_point deadline);
  // Waits until `deadline` for a process that nobody has asked. Returns what is wrong if it ends or
  // prints something; else "".
  std::string TroubleBy(data::Subprocess::Clock::time_point deadline);
  // CloseInput ends its input; Wait waits for its end and kills it at the deadline.
  void CloseInput() { child_.CloseInput(); }
  void Wait(data::Subprocess::Clock::time_point deadline);

 private:
  CommandReply Fault(NoVerdictCause cause, std::string reason);
  CommandReply Read(const std::string& answer);

  int64_t max_line_;
  AnswerShape shape_;
  data::Subprocess child_;
};

// A pool of up to `options.threads` processes that run at once. Each stays alive and is asked one
// question at a time; a process that takes longer than `options.timeout`, dies, or answers in
// another form is replaced. In the end their input is closed; those that do not end within a second
// are killed. Throws Error if the first process ends at once.
class CommandPool {
 public:
  // Errors begin with `name`, as "oracle command".
  CommandPool(std::string name, std::string command, const OracleOptions& options,
              AnswerShape shape);
  ~CommandPool();
  CommandPool(const CommandPool&) = delete;
  CommandPool& operator=(const CommandPool&) = delete;

  // Returns the line that answers `line`. Throws NoVerdict if that takes too long (including the
  // start of a process), or three processes fail on this question in another way.
  std::string Ask(const std::string& line) const;

 private:
  using Process = std::unique_ptr<CommandProcess>;
  class Lease;

  Process Start() const;
  CommandReply AskOne(const std::string& line) const;

  const std::string name_, command_;
  const OracleOptions options_;
  const AnswerShape shape_;
  mutable std::mutex mutex_;
  mutable std::condition_variable freed_;
  mutable std::vector<Process> idle_;
  mutable int free_;  // number of processes that may still be started or taken from idle_
};

}  // namespace pivotal::pts
