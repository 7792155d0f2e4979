// Apache-2.0. A child process and the bytes that go to and from it.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pts/oracles/descriptor.h"

namespace pivotal::pts {

struct SubprocessSpec {
  std::vector<std::string> argv;  // argv[0] is looked for in PATH
  std::optional<std::vector<std::string>> environment = std::nullopt;  // "NAME=value"; else ours
  std::string folder = {};     // where it starts; "": here
  bool reports = false;        // descriptor 3 of the child is a pipe to us
  std::string preloaded = {};  // if not empty, descriptor 4 of the child is a pipe that holds this
                               // text (at most 64 KiB); needs `reports`
};

// Leads a session of its own, so no Ctrl-C of the terminal reaches it, with default signals; it
// inherits no descriptor but those named above. Nothing here blocks or raises SIGPIPE. Not for
// several threads at once, but several threads may each have one.
class Subprocess {
 public:
  using Clock = std::chrono::steady_clock;
  enum Stream { kOutput, kErrors, kReport };
  enum class Step {
    kMoved,    // bytes moved or a stream ended
    kWaited,   // the deadline came first
    kFinished  // all of its streams have ended
  };

  // Throws Error where it cannot be started.
  explicit Subprocess(const SubprocessSpec& spec);
  // Kills it.
  ~Subprocess();
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  pid_t id() const { return id_; }
  // Queues text for its stdin; CloseInput closes that once the queue is written. What a child that
  // has closed its stdin does not read is dropped.
  void Send(std::string_view text);
  void CloseInput();
  // Writes what is queued and reads what is there; waits for either until `deadline`.
  Step Pump(Clock::time_point deadline);
  // What was read so far; the caller takes out what it has used.
  std::string& text(Stream stream) { return streams_[stream].text; }
  bool ended(Stream stream) const { return !streams_[stream].descriptor; }

  // SIGKILL for its process group, then waits for it. Later calls do nothing.
  void Kill();
  // Waits for its end until `deadline`, then kills it. "ended with code 1", "was killed by signal
  // 9", "was stopped" (by us).
  std::string WaitOrKill(Clock::time_point deadline);

 private:
  struct Pipe {
    Descriptor descriptor;
    std::string text;
  };
  int Reap();  // kills its group, waits, returns its status
  void WriteSome();
  void ReadSome(Pipe& pipe);

  pid_t id_ = -1;  // -1: reaped
  Descriptor input_;
  std::string queue_;
  std::size_t written_ = 0;  // of queue_
  bool close_input_ = false;
  std::array<Pipe, 3> streams_;
};

}  // namespace pivotal::pts
