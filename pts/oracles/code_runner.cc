// Apache-2.0.
#include "pts/oracles/code_runner.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/error.h"
#include "pts/oracles/code_harness.h"
#include "pts/oracles/process_tree.h"

namespace pivotal::pts {
namespace {

using nlohmann::json;
using Clock = Subprocess::Clock;

constexpr int64_t kMiB = 1 << 20;
constexpr int kOpenFiles = 64;
constexpr double kStartSeconds = 30;  // for bubblewrap and Python on a busy machine
constexpr auto kLook = std::chrono::milliseconds(20);

// 128 random bits in hexadecimal.
std::string Secret() {
  std::array<unsigned char, 16> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    Fail("the code oracle needs random numbers, and the system has none");
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

json Limits(const OracleOptions& options) {
  return {{"RLIMIT_AS", options.memory * kMiB},
          {"RLIMIT_CPU", static_cast<int64_t>(std::ceil(options.timeout)) + 1},
          {"RLIMIT_FSIZE", options.files * kMiB},
          {"RLIMIT_NPROC", options.processes},
          {"RLIMIT_NOFILE", kOpenFiles},
          {"RLIMIT_CORE", 0}};
}

std::string JobText(const CodeJob& job, const std::string& secret, const OracleOptions& options) {
  const json text = {{"limits", Limits(options)},
                     {"context", job.context},
                     {"solution", job.solution},
                     {"take", job.take ? json(*job.take) : json()},
                     {"defines", job.defines},
                     {"tests", job.tests},
                     {"secret", secret}};
  // A response that was cut inside a character is no reason to stop.
  return text.dump(-1, ' ', false, json::error_handler_t::replace);
}

Clock::time_point After(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double>(seconds));
}

// Follows one run to its end; sees what it reports.
class Watch {
 public:
  Watch(Subprocess& child, const std::string& secret, const OracleOptions& options)
      : child_(child), want_("R" + secret), options_(options), deadline_(After(kStartSeconds)) {}

  CodeOutcome Run() {
    while (!IsOver()) {
    }
    return {started_, passed_, child_.text(Subprocess::kErrors)};
  }

 private:
  bool IsOver() {
    const auto step = child_.Pump(std::min(deadline_, Clock::now() + kLook));
    const std::string& report = child_.text(Subprocess::kReport);
    if (!started_ && report.starts_with('R')) {
      started_ = true;
      deadline_ = After(options_.timeout);
    }
    // Reported too late is late, although both may show in one step.
    if (Clock::now() >= deadline_) return true;
    if (report == want_) return passed_ = !PrintsTooMuch(), true;
    return !want_.starts_with(report) || child_.ended(Subprocess::kReport) || PrintsTooMuch() ||
           step == Subprocess::Step::kFinished || TakesTooMuch();
  }
  bool PrintsTooMuch() {
    const auto printed = child_.text(Subprocess::kOutput).size() +
                         child_.text(Subprocess::kErrors).size();
    return static_cast<int64_t>(printed) > options_.output * 1024;
  }
  bool TakesTooMuch() {
    if (Clock::now() < look_) return false;
    look_ = Clock::now() + kLook;
    return ResidentBytes(child_.id()) > options_.memory * kMiB;
  }

  Subprocess& child_;
  const std::string want_;
  const OracleOptions& options_;
  Clock::time_point deadline_;
  Clock::time_point look_ = Clock::now();
  bool started_ = false, passed_ = false;
};

}  // namespace

CodeOutcome RunCode(const Sandbox& sandbox, const CodeJob& job, const OracleOptions& options) {
  std::unique_ptr<ScratchFolder> folder;
  if (sandbox.kind() == Sandbox::Kind::kNone) folder = std::make_unique<ScratchFolder>();
  const std::string secret = Secret();
  Subprocess child(sandbox.Spec({"/usr/bin/python3", "-s", "-B", "-c", kCodeHarness},
                                folder ? folder->path() : std::filesystem::path()));
  child.Send(JobText(job, secret, options));
  child.CloseInput();
  CodeOutcome outcome = Watch(child, secret, options).Run();
  sandbox.Kill(child);
  return outcome;
}

}  // namespace pivotal::pts
