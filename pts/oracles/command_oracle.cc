// Apache-2.0.
#include "pts/oracles/command_oracle.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/error.h"
#include "pts/oracles/command_process.h"

namespace pivotal::pts {
namespace {

using Clock = Subprocess::Clock;

constexpr int kTries = 3;      // for one question
constexpr int kFaultsInARow = 5;
constexpr auto kFirstLook = std::chrono::milliseconds(50);
constexpr auto kGoodbye = std::chrono::seconds(1);

class CommandOracle : public Oracle {
 public:
  CommandOracle(std::string_view command, const OracleOptions& options)
      : command_(command), options_(options), free_(options.ThreadsOrCores()) {
    auto first = Start();
    const std::string trouble = first->TroubleBy(Clock::now() + kFirstLook);
    if (!trouble.empty()) Fail("oracle command \"{}\": {}", command_, trouble);
    idle_.push_back(std::move(first));
  }

  ~CommandOracle() override {
    for (const auto& process : idle_) process->CloseInput();
    const auto deadline = Clock::now() + kGoodbye;
    for (const auto& process : idle_) process->Wait(deadline);
  }

  bool Judge(const Attempt& attempt) const override {
    const nlohmann::ordered_json question = {{"question", attempt.question},
                                             {"answer", attempt.answer},
                                             {"response", attempt.response}};
    // A response that was cut inside a character is no reason to stop.
    const std::string line =
        question.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    for (int tries = 1;; ++tries) {
      const CommandReply reply = Ask(line);
      if (IsHopeless(reply) || (tries == kTries && !reply.success && !reply.timed_out))
        Fail("oracle command \"{}\" fails again and again: {}", command_, reply.trouble);
      if (reply.success || reply.timed_out) return reply.success.value_or(false);
    }
  }
  // What it can compare, only the program knows.
  bool CanRead(std::string_view) const override { return true; }

 private:
  using Process = std::unique_ptr<CommandProcess>;

  Process Start() const {
    return std::make_unique<CommandProcess>(command_, options_.output * 1024);
  }

  // A seat among those that may run; gives itself back, with its process if that is still of use.
  class Seat {
   public:
    explicit Seat(const CommandOracle& oracle) : oracle_(oracle) {
      std::unique_lock lock(oracle_.mutex_);
      oracle_.freed_.wait(lock, [&] { return oracle_.free_ > 0; });
      --oracle_.free_;
      if (oracle_.idle_.empty()) return;
      process = std::move(oracle_.idle_.back());
      oracle_.idle_.pop_back();
    }
    ~Seat() {
      {
        const std::lock_guard lock(oracle_.mutex_);
        ++oracle_.free_;
        if (process) oracle_.idle_.push_back(std::move(process));
      }
      oracle_.freed_.notify_one();
    }
    Seat(const Seat&) = delete;
    Process process;

   private:
    const CommandOracle& oracle_;
  };

  CommandReply Ask(const std::string& line) const {
    Seat seat(*this);
    if (!seat.process) seat.process = Start();
    const std::chrono::duration<double> limit(options_.timeout);
    CommandReply reply = seat.process->Ask(
        line, Clock::now() + std::chrono::duration_cast<Clock::duration>(limit));
    if (!reply.success) seat.process.reset();
    return reply;
  }

  // Counts faults since the last answer. Questions that take too long are none once the command has
  // shown that it can answer: responses to one problem may all be too hard for it.
  bool IsHopeless(const CommandReply& reply) const {
    const std::lock_guard lock(mutex_);
    if (reply.success) {
      answered_ = true;
      faults_ = 0;
    } else if (!reply.timed_out || !answered_) {
      ++faults_;
    }
    return faults_ >= std::max(kFaultsInARow, 2 * options_.ThreadsOrCores());
  }

  const std::string command_;
  const OracleOptions options_;
  mutable std::mutex mutex_;
  mutable std::condition_variable freed_;
  mutable std::vector<Process> idle_;
  mutable int free_;        // seats
  mutable int faults_ = 0;
  mutable bool answered_ = false;
};

}  // namespace

std::unique_ptr<const Oracle> MakeCommandOracle(std::string_view command,
                                                const OracleOptions& options) {
  return std::make_unique<CommandOracle>(command, options);
}

}  // namespace pivotal::pts
