// Apache-2.0.
#include "pts/oracles/command_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "data/error.h"

namespace pivotal::pts {
namespace {

using Clock = Subprocess::Clock;

constexpr int kTries = 3;      // for one question
constexpr int kFaultsInARow = 5;
constexpr auto kFirstLook = std::chrono::milliseconds(50);
constexpr auto kGoodbye = std::chrono::seconds(1);

}  // namespace

// A place among the processes that may run; gives itself back, with its process if that is still of use.
class CommandPool::Seat {
 public:
  explicit Seat(const CommandPool& pool) : pool_(pool) {
    std::unique_lock lock(pool_.mutex_);
    pool_.freed_.wait(lock, [&] { return pool_.free_ > 0; });
    --pool_.free_;
    if (pool_.idle_.empty()) return;
    process = std::move(pool_.idle_.back());
    pool_.idle_.pop_back();
  }
  ~Seat() {
    {
      const std::lock_guard lock(pool_.mutex_);
      ++pool_.free_;
      if (process) pool_.idle_.push_back(std::move(process));
    }
    pool_.freed_.notify_one();
  }
  Seat(const Seat&) = delete;
  Process process;

 private:
  const CommandPool& pool_;
};

CommandPool::CommandPool(std::string name, std::string command, const OracleOptions& options, AnswerShape shape)
    : name_(std::move(name)), command_(std::move(command)), options_(options), shape_(std::move(shape)),
      free_(options.ThreadsOrCores()) {
  auto first = Start();
  const std::string trouble = first->TroubleBy(Clock::now() + kFirstLook);
  if (!trouble.empty()) Fail("{} \"{}\": {}", name_, command_, trouble);
  idle_.push_back(std::move(first));
}

CommandPool::~CommandPool() {
  for (const auto& process : idle_) process->CloseInput();
  const auto deadline = Clock::now() + kGoodbye;
  for (const auto& process : idle_) process->Wait(deadline);
}

std::optional<std::string> CommandPool::Ask(const std::string& line) const {
  for (int tries = 1;; ++tries) {
    CommandReply reply = AskOne(line);
    if (IsHopeless(reply) || (tries == kTries && !reply.answer && !reply.timed_out))
      Fail("{} \"{}\" fails again and again: {}", name_, command_, reply.trouble);
    if (reply.answer || reply.timed_out) return std::move(reply.answer);
  }
}

CommandPool::Process CommandPool::Start() const {
  return std::make_unique<CommandProcess>(command_, options_.output * 1024, shape_);
}

CommandReply CommandPool::AskOne(const std::string& line) const {
  Seat seat(*this);
  if (!seat.process) seat.process = Start();
  const std::chrono::duration<double> limit(options_.timeout);
  CommandReply reply =
      seat.process->Ask(line, Clock::now() + std::chrono::duration_cast<Clock::duration>(limit));
  if (!reply.answer) seat.process.reset();
  return reply;
}

// Counts faults since the last answer. Questions that take too long are none once the command has
// shown that it can answer: responses to one problem may all be too hard for it.
bool CommandPool::IsHopeless(const CommandReply& reply) const {
  const std::lock_guard lock(mutex_);
  if (reply.answer) {
    answered_ = true;
    faults_ = 0;
  } else if (!reply.timed_out || !answered_) {
    ++faults_;
  }
  return faults_ >= std::max(kFaultsInARow, 2 * options_.ThreadsOrCores());
}

}  // namespace pivotal::pts
