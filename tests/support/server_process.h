// Apache-2.0. A server that a test starts: a command that prints its address and serves until its
// standard input ends.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>

namespace pivotal::testing {

class ServerProcess {
 public:
  // Starts a shell command and reads the first line that it prints.
  explicit ServerProcess(const std::string& command) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0)
      throw std::runtime_error("pipe failed");
    child_ = ::fork();
    if (child_ == 0) {
      ::setpgid(0, 0);
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::execl("/bin/sh", "sh", "-c", ("exec " + command).c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    input_ = in[1];
    for (char c = 0; ::read(out[0], &c, 1) == 1 && c != '\n';) address_ += c;
    ::close(out[0]);
  }
  ~ServerProcess() {
    ::close(input_);
    ::kill(-child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // "http://127.0.0.1:8000", or what else the command printed.
  const std::string& address() const { return address_; }

 private:
  pid_t child_ = -1;
  int input_ = -1;
  std::string address_;
};

}  // namespace pivotal::testing
