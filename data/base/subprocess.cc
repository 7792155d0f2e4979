// Apache-2.0.
#include "data/base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::data {
namespace {

using data::Descriptor;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

// Our pipe ends get numbers from here on, above those that the child gets.
constexpr int kFirstFree = 8;

// Blocks SIGPIPE in this thread while it writes to a pipe that may have no reader.
class SigpipeBlocked {
 public:
  SigpipeBlocked() {
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::sigemptyset(&only_);
    ::sigaddset(&only_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &only_, &before_);
  }
  ~SigpipeBlocked() {
    const timespec at_once = {};
    if (!was_pending_) {
      while (::sigtimedwait(&only_, nullptr, &at_once) < 0 && errno == EINTR) {
      }
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t only_, before_;
  bool was_pending_ = false;
};

struct PipeEnds {
  Descriptor read, write;
};

// Returns why a program cannot be started, with the remedy where the system has run out of
// something.
std::string Obstacle(int error) {
  const std::string text = data::ErrnoText(error);
  return error == EAGAIN ? text + " (too many processes: raise the limit, ulimit -u)" : text;
}

Descriptor Lifted(Descriptor low) {
  Descriptor high(::fcntl(low.get(), F_DUPFD_CLOEXEC, kFirstFree));
  // EINVAL: the limit of open files is below kFirstFree.
  if (!high) Fail("a program cannot be started: {}", Obstacle(errno == EINVAL ? EMFILE : errno));
  return high;
}

PipeEnds MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) Fail("a program cannot be started: {}", Obstacle(errno));
  Descriptor read(ends[0]), write(ends[1]);
  return {Lifted(std::move(read)), Lifted(std::move(write))};
}

void DoNotBlock(const Descriptor& descriptor) {
  ::fcntl(descriptor.get(), F_SETFL, ::fcntl(descriptor.get(), F_GETFL) | O_NONBLOCK);
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Collects the arguments of posix_spawn.
class SpawnPlan {
 public:
  SpawnPlan() {
    ::posix_spawn_file_actions_init(&actions_);
    ::posix_spawnattr_init(&attributes_);
    sigset_t none, all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;

  void Give(const Descriptor& ours, int theirs) {
    ::posix_spawn_file_actions_adddup2(&actions_, ours.get(), theirs);
  }
  pid_t Start(SubprocessSpec spec, int inherited) {
    if (!spec.folder.empty())
      ::posix_spawn_file_actions_addchdir_np(&actions_, spec.folder.c_str());
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, inherited);
    auto argv = Pointers(spec.argv);
    std::vector<char*> environment;
    if (spec.environment) environment = Pointers(*spec.environment);
    pid_t id = -1;
    const int error = ::posix_spawnp(&id, argv[0], &actions_, &attributes_, argv.data(),
                                     spec.environment ? environment.data() : environ);
    if (error != 0) Fail("{} cannot be started: {}", spec.argv[0], Obstacle(error));
    return id;
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

std::string Ending(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
  return fmt::format("ended with code {}", WEXITSTATUS(status));
}

}  // namespace

Subprocess::Subprocess(const SubprocessSpec& spec) {
  PipeEnds in = MakePipe(), out = MakePipe(), errors = MakePipe(), report, preloaded;
  SpawnPlan plan;
  plan.Give(in.read, 0);
  plan.Give(out.write, 1);
  plan.Give(errors.write, 2);
  int inherited = 3;
  if (spec.reports) {
    report = MakePipe();
    plan.Give(report.write, 3);
    inherited = 4;
  }
  if (!spec.preloaded.empty()) {
    preloaded = MakePipe();
    DoNotBlock(preloaded.write);
    if (::write(preloaded.write.get(), spec.preloaded.data(), spec.preloaded.size()) !=
        static_cast<ssize_t>(spec.preloaded.size()))
      Fail("{} cannot be started: its pipe is full", spec.argv[0]);
    preloaded.write.Reset();
    plan.Give(preloaded.read, 4);
    inherited = 5;
  }
  id_ = plan.Start(spec, inherited);
  input_ = std::move(in.write);
  streams_[kOutput].descriptor = std::move(out.read);
  streams_[kErrors].descriptor = std::move(errors.read);
  streams_[kReport].descriptor = std::move(report.read);
  DoNotBlock(input_);
  for (const Pipe& pipe : streams_) {
    if (pipe.descriptor) DoNotBlock(pipe.descriptor);
  }
}

Subprocess::~Subprocess() { Kill(); }

void Subprocess::Send(std::string_view text) {
  queue_.erase(0, written_);
  written_ = 0;
  if (input_) queue_ += text;
}

void Subprocess::CloseInput() {
  close_input_ = true;
  if (written_ == queue_.size()) input_.Reset();
}

void Subprocess::WriteSome() {
  const SigpipeBlocked blocked;
  const ssize_t n = ::write(input_.get(), queue_.data() + written_, queue_.size() - written_);
  if (n > 0) written_ += static_cast<std::size_t>(n);
  const bool gone = n < 0 && errno != EAGAIN && errno != EINTR;
  if (gone || (close_input_ && written_ == queue_.size())) {
    input_.Reset();
    queue_.clear();
    written_ = 0;
  }
}

void Subprocess::ReadSome(Pipe& pipe) {
  std::array<char, 65536> buffer;
  const ssize_t n = ::read(pipe.descriptor.get(), buffer.data(), buffer.size());
  if (n > 0) pipe.text.append(buffer.data(), static_cast<std::size_t>(n));
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) pipe.descriptor.Reset();
}

Subprocess::Step Subprocess::Pump(Clock::time_point deadline) {
  std::array<pollfd, 4> polled;
  std::array<Pipe*, 4> pipes;
  nfds_t count = 0;
  for (Pipe& pipe : streams_) {
    if (!pipe.descriptor) continue;
    pipes[count] = &pipe;
    polled[count++] = {pipe.descriptor.get(), POLLIN, 0};
  }
  if (count == 0) return Step::kFinished;
  if (input_ && written_ < queue_.size()) {
    pipes[count] = nullptr;
    polled[count++] = {input_.get(), POLLOUT, 0};
  }
  const auto left = duration_cast<milliseconds>(deadline - Clock::now()) + milliseconds(1);
  const int wait = static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
  const int ready = ::poll(polled.data(), count, wait);
  if (ready < 0 && errno == EINTR) return Step::kMoved;
  if (ready <= 0) return Step::kWaited;
  for (nfds_t i = 0; i < count; ++i) {
    if (polled[i].revents == 0) continue;
    if (pipes[i] != nullptr) {
      ReadSome(*pipes[i]);
    } else {
      WriteSome();
    }
  }
  return Step::kMoved;
}

void Subprocess::Kill() {
  if (id_ >= 0) Reap();
}

int Subprocess::Reap() {
  ::kill(-id_, SIGKILL);  // the process was not waited for yet, so its number is still its own
  ::kill(id_, SIGKILL);
  int status = 0;
  while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
  }
  id_ = -1;
  return status;
}

std::string Subprocess::WaitOrKill(Clock::time_point deadline) {
  if (id_ < 0) return "was stopped";
  while (true) {
    siginfo_t info = {};
    const int error = ::waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT);
    if (error == 0 && info.si_pid == id_) return Ending(Reap());
    if ((error != 0 && errno != EINTR) || Clock::now() >= deadline) break;
    std::this_thread::sleep_for(milliseconds(1));
  }
  Kill();
  return "was stopped";
}

}  // namespace pivotal::data
