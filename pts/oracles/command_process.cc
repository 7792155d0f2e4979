// Apache-2.0.
#include "pts/oracles/command_process.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/error.h"
#include "data/json_input.h"

namespace pivotal::pts {
namespace {

using Clock = Subprocess::Clock;

constexpr std::size_t kKeptErrors = 4096;
constexpr std::size_t kShownErrors = 300;
constexpr auto kLastWords = std::chrono::milliseconds(200);

void KeepEnd(std::string& text, std::size_t bytes) {
  if (text.size() > bytes) text.erase(0, text.size() - bytes);
}

// The last lines of a text, as one.
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

CommandReply CommandProcess::Fault(std::string reason) {
  child_.Kill();
  const auto end = Clock::now() + kLastWords;  // its children may hold the pipes open
  while (Clock::now() < end && child_.Pump(end) == Subprocess::Step::kMoved)
    KeepEnd(child_.text(Subprocess::kErrors), kKeptErrors);
  const std::string said = LastLines(std::move(child_.text(Subprocess::kErrors)));
  if (!said.empty()) reason += "; its stderr ends in: " + said;
  return {.trouble = std::move(reason)};
}

CommandReply CommandProcess::Read(const std::string& answer) {
  try {
    if (shape_.fits(data::ParseJsonObject(answer, "answer"))) return {.answer = answer};
  } catch (const Error&) {
  }
  return Fault(fmt::format("it answered {}, not {}", data::Quoted(answer), shape_.example));
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
      return Fault(fmt::format("it answered a line of more than {} bytes", max_line_));
    if (child_.ended(Subprocess::kOutput))
      return Fault("it " + child_.WaitOrKill(Clock::now() + kLastWords) + " without an answer");
    child_.Pump(deadline);
    KeepEnd(child_.text(Subprocess::kErrors), kKeptErrors);
    if (Clock::now() >= deadline && out.find('\n') == std::string::npos) {
      CommandReply reply = Fault("it did not answer in time");
      reply.timed_out = true;
      return reply;
    }
  }
}

void CommandProcess::Wait(Clock::time_point deadline) {
  // It may have more to say before it can end.
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
      return Fault("it printed " + data::Quoted(out) + " without being asked").trouble;
    if (child_.ended(Subprocess::kOutput))
      return Fault("it " + child_.WaitOrKill(Clock::now() + kLastWords) + " before it was asked")
          .trouble;
  } while (Clock::now() < deadline);
  return "";
}

}  // namespace pivotal::pts
