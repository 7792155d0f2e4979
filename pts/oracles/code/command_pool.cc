// Apache-2.0.
#include "pts/oracles/code/command_pool.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/base/error.h"
#include "data/base/json_input.h"

namespace pivotal::pts {
namespace {

using data::Subprocess;
using Clock = Subprocess::Clock;

constexpr std::size_t kKeptErrors = 4096;
constexpr std::size_t kShownErrors = 300;
constexpr auto kLastWords = std::chrono::milliseconds(200);

void KeepEnd(std::string& text, std::size_t bytes) {
  if (text.size() > bytes) text.erase(0, text.size() - bytes);
}

// Returns the last lines of a text as one line.
std::string LastLines(std::string text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
  KeepEnd(text, kShownErrors);
  std::string line;
  for (const char c : text) {
    if (c == '\n') {
      line += " | ";
    } else if (static_cast<unsigned char>(c) >= ' ' && c != '\x7F') {
      line += c;
    }
  }
  return line;
}

}  // namespace

CommandProcess::CommandProcess(const std::string& command, int64_t max_line, AnswerShape shape)
    : max_line_(max_line), shape_(std::move(shape)), child_({.argv = {"/bin/sh", "-c", command}}) {}

CommandReply CommandProcess::Fault(NoVerdictCause cause, std::string reason) {
  child_.Kill();
  const auto end = Clock::now() + kLastWords;  // children of the process may hold the pipes open
  while (Clock::now() < end && child_.Pump(end) == Subprocess::Step::kMoved)
    KeepEnd(child_.text(Subprocess::kErrors), kKeptErrors);
  const std::string said = LastLines(std::move(child_.text(Subprocess::kErrors)));
  if (!said.empty()) reason += "; its stderr ends in: " + said;
  return {.cause = cause, .trouble = std::move(reason)};
}

CommandReply CommandProcess::Read(const std::string& answer) {
  try {
    if (shape_.fits(data::ParseJsonObject(answer, "answer"))) return {.answer = answer};
  } catch (const Error&) {
  }
  return Fault(NoVerdictCause::kAnswer,
               fmt::format("it answered {}, not {}", data::Quoted(answer), shape_.example));
}

CommandReply CommandProcess::Ask(const std::string& line, Clock::time_point deadline) {
  std::string trouble = TroubleBy(Clock::now());
  if (!trouble.empty()) return {.trouble = std::move(trouble)};
  child_.Send(line + "\n");
  std::string& out = child_.text(Subprocess::kOutput);
  while (true) {
    if (const auto end = out.find('\n'); end != std::string::npos) {
      const std::string answer = out.substr(0, end);
      out.erase(0, end + 1);
      return Read(answer);
    }
    if (static_cast<int64_t>(out.size()) > max_line_)
      return Fault(NoVerdictCause::kAnswer,
                   fmt::format("it answered a line of more than {} bytes", max_line_));
    if (child_.ended(Subprocess::kOutput))
      return Fault(NoVerdictCause::kCrash,
                   "it " + child_.WaitOrKill(Clock::now() + kLastWords) + " without an answer");
    child_.Pump(deadline);
    KeepEnd(child_.text(Subprocess::kErrors), kKeptErrors);
    if (Clock::now() >= deadline && out.find('\n') == std::string::npos)
      return Fault(NoVerdictCause::kTimeout, "it did not answer in time");
  }
}

void CommandProcess::Wait(Clock::time_point deadline) {
  // The process may have to write more before it can end.
  while (Clock::now() < deadline && child_.Pump(deadline) == Subprocess::Step::kMoved) {
    child_.text(Subprocess::kOutput).clear();
    child_.text(Subprocess::kErrors).clear();
  }
  child_.WaitOrKill(deadline);
}

std::string CommandProcess::TroubleBy(Clock::time_point deadline) {
  const std::string& out = child_.text(Subprocess::kOutput);
  do {
    child_.Pump(deadline);
    KeepEnd(child_.text(Subprocess::kErrors), kKeptErrors);
    if (!out.empty())
      return Fault(NoVerdictCause::kAnswer,
                   "it printed " + data::Quoted(out) + " without being asked")
          .trouble;
    if (child_.ended(Subprocess::kOutput))
      return Fault(NoVerdictCause::kCrash,
                   "it " + child_.WaitOrKill(Clock::now() + kLastWords) + " before it was asked")
          .trouble;
  } while (Clock::now() < deadline);
  return "";
}

namespace {

using data::Subprocess;
using Clock = Subprocess::Clock;

constexpr int kTries = 3;  // processes that are tried for one question
constexpr auto kFirstLook = std::chrono::milliseconds(50);
constexpr auto kGoodbye = std::chrono::seconds(1);

}  // namespace

// The right to use one process. Its destructor gives the right back, and the process, if that is
// still of use.
class CommandPool::Lease {
 public:
  explicit Lease(const CommandPool& pool) : pool_(pool) {
    std::unique_lock lock(pool_.mutex_);
    pool_.freed_.wait(lock, [&] { return pool_.free_ > 0; });
    --pool_.free_;
    if (pool_.idle_.empty()) return;
    process = std::move(pool_.idle_.back());
    pool_.idle_.pop_back();
  }
  ~Lease() {
    {
      const std::lock_guard lock(pool_.mutex_);
      ++pool_.free_;
      if (process) pool_.idle_.push_back(std::move(process));
    }
    pool_.freed_.notify_one();
  }
  Lease(const Lease&) = delete;
  Process process;

 private:
  const CommandPool& pool_;
};

CommandPool::CommandPool(std::string name, std::string command, const OracleOptions& options,
                         AnswerShape shape)
    : name_(std::move(name)),
      command_(std::move(command)),
      options_(options),
      shape_(std::move(shape)),
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

std::string CommandPool::Ask(const std::string& line) const {
  for (int tries = 1;; ++tries) {
    CommandReply reply = AskOne(line);
    if (reply.answer) return *std::move(reply.answer);
    if (reply.cause == NoVerdictCause::kTimeout || tries == kTries)
      throw NoVerdict(reply.cause, fmt::format("{} \"{}\": {}", name_, command_, reply.trouble));
  }
}

CommandPool::Process CommandPool::Start() const {
  return std::make_unique<CommandProcess>(command_, options_.output * 1024, shape_);
}

CommandReply CommandPool::AskOne(const std::string& line) const {
  Lease lease(*this);
  try {
    if (!lease.process) lease.process = Start();
  } catch (const Error& error) {
    return {.cause = NoVerdictCause::kStart, .trouble = error.what()};
  }
  const std::chrono::duration<double> limit(options_.timeout);
  CommandReply reply =
      lease.process->Ask(line, Clock::now() + std::chrono::duration_cast<Clock::duration>(limit));
  if (!reply.answer) lease.process.reset();
  return reply;
}

}  // namespace pivotal::pts
