// Apache-2.0. Several running copies of a user's program, asked from any thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pts/oracles/command_process.h"
#include "pts/oracles/oracle_options.h"

namespace pivotal::pts {

// Up to `options.threads` processes run at once, each kept alive and asked one question at a time; one that takes longer
// than `options.timeout`, dies or answers what doesn't fit is replaced. At the end their stdin is closed; those that do not
// end within a second are killed. Throws Error if the first process ends at once.
class CommandPool {
 public:
  // `name` begins its errors: "oracle command".
  CommandPool(std::string name, std::string command, const OracleOptions& options, AnswerShape shape);
  ~CommandPool();
  CommandPool(const CommandPool&) = delete;
  CommandPool& operator=(const CommandPool&) = delete;

  // The line that answers `line`; nothing where it took too long (a process's start included). Throws Error where three
  // processes die or babble over one question, or five in a row (two per thread, if that is more) over any; processes that
  // take too long count where none has ever answered.
  std::optional<std::string> Ask(const std::string& line) const;

 private:
  using Process = std::unique_ptr<CommandProcess>;
  class Seat;

  Process Start() const;
  CommandReply AskOne(const std::string& line) const;
  bool IsHopeless(const CommandReply& reply) const;

  const std::string name_, command_;
  const OracleOptions options_;
  const AnswerShape shape_;
  mutable std::mutex mutex_;
  mutable std::condition_variable freed_;
  mutable std::vector<Process> idle_;
  mutable int free_;  // seats
  mutable int faults_ = 0;
  mutable bool answered_ = false;
};

}  // namespace pivotal::pts
