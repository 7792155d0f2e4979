// Apache-2.0. A child process and the bytes that go to and from it.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/base/descriptor.h"

namespace pivotal::data {

struct SubprocessSpec {
  std::vector<std::string> argv;  // argv[0] is searched in PATH
  // "NAME=value"; none: this process's environment
  std::optional<std::vector<std::string>> environment = std::nullopt;
  std::string folder = {};  // working directory; "": this process's
  bool reports = false;     // true: descriptor 3 of the child is a pipe to this process
  // text (at most 64 KiB) that descriptor 4 of the child, a pipe, holds; "": no pipe; needs
  // `reports`
  std::string preloaded = {};
};

// A child process. It leads a session of its own, so that Ctrl-C in the terminal does not reach it,
// has default signals, and inherits no descriptors but those of SubprocessSpec. No function here
// blocks or raises SIGPIPE. Only one thread may use an object at a time.
class Subprocess {
 public:
  using Clock = std::chrono::steady_clock;
  enum Stream { kOutput, kErrors, kReport };
  enum class Step {
    kMoved,    // bytes moved or a stream ended
    kWaited,   // the deadline came first
    kFinished  // all of its streams have ended
  };

  // Throws Error if the program cannot be started.
  explicit Subprocess(const SubprocessSpec& spec);
  // Kills the process.
  ~Subprocess();
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  pid_t id() const { return id_; }
  // Send queues text for the child's stdin; CloseInput closes stdin once the queue is written. Text
  // that a child with a closed stdin does not read is dropped.
  void Send(std::string_view text);
  void CloseInput();
  // Writes queued text and reads what the child has written; waits for either until `deadline`.
  Step Pump(Clock::time_point deadline);
  // Returns the text read so far; the caller may take text out.
  std::string& text(Stream stream) { return streams_[stream].text; }
  bool ended(Stream stream) const { return !streams_[stream].descriptor; }

  // Kills the process group with SIGKILL and waits for the process. Later calls do nothing.
  void Kill();
  // Waits until `deadline` for the process to end, then kills it. Returns "ended with code 1", "was
  // killed by signal 9", or "was stopped" (by this function or Kill).
  std::string WaitOrKill(Clock::time_point deadline);

 private:
  struct Pipe {
    data::Descriptor descriptor;
    std::string text;
  };
  int Reap();  // kills the process group, waits, returns the status
  void WriteSome();
  void ReadSome(Pipe& pipe);

  pid_t id_ = -1;  // -1 after the process was waited for
  data::Descriptor input_;
  std::string queue_;
  std::size_t written_ = 0;  // bytes of queue_ that are written
  bool close_input_ = false;
  std::array<Pipe, 3> streams_;
};

}  // namespace pivotal::data
