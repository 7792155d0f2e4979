// Apache-2.0. One running program of a user that judges, question by question.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "pts/oracles/subprocess.h"

namespace pivotal::pts {

// What a program's answers must be: lines of JSON objects that `fits` accepts.
struct AnswerShape {
  std::function<bool(const nlohmann::json& object)> fits;
  std::string example;  // "{\"success\": true}"
};

// What became of one question. Without an answer the process is of no more use.
struct CommandReply {
  std::optional<std::string> answer = std::nullopt;  // JSON that fits
  bool timed_out = false;
  // Without an answer: one line that says why, with the last that stderr said.
  std::string trouble = {};
};

// Runs "/bin/sh -c COMMAND" in a session of its own. Not for several threads at once.
class CommandProcess {
 public:
  // A line of more than `max_line` bytes is no answer. Throws Error where it cannot be started.
  CommandProcess(const std::string& command, int64_t max_line, AnswerShape shape);

  // Sends a line (without its end) and waits for the line that answers it.
  CommandReply Ask(const std::string& line, Subprocess::Clock::time_point deadline);
  // Trouble of a process that ends or speaks by `deadline` although nobody has asked; else "".
  std::string TroubleBy(Subprocess::Clock::time_point deadline);
  // Tells it that there is nothing more, then waits for its end; kills it at the deadline.
  void CloseInput() { child_.CloseInput(); }
  void Wait(Subprocess::Clock::time_point deadline);

 private:
  CommandReply Fault(std::string reason);
  CommandReply Read(const std::string& answer);

  int64_t max_line_;
  AnswerShape shape_;
  Subprocess child_;
};

}  // namespace pivotal::pts
