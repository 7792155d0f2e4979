// Apache-2.0. Runs code in a child process that may have few threads or few open files.
#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include "data/base/error.h"

namespace pivotal::testing {

// Runs `call` in a child that may have no more than `limit` of `resource` (RLIMIT_NPROC or
// RLIMIT_NOFILE) and returns the text of the Error that it throws, "(no Error)", or how the child
// ended. A child that hangs is killed after 20 seconds. The kernel does not limit root's processes,
// so root's child becomes the user 65534; returns nothing where that cannot be done.
template <typename Call>
std::optional<std::string> ErrorWhereScarce(__rlimit_resource resource, rlim_t limit, Call&& call) {
  constexpr uid_t kNobody = 65534;
  constexpr int kCannot = 77;
  int ends[2];
  if (::pipe(ends) != 0) return std::nullopt;
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    if (::geteuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(kCannot);
    const rlimit few = {limit, limit};
    if (::setrlimit(resource, &few) != 0) ::_exit(kCannot);
    std::string text = "(no Error)";
    try {
      call();
    } catch (const Error& error) {
      text = error.what();
    } catch (const std::exception& other) {
      text = std::string("not an Error: ") + other.what();
    }
    const bool written = ::write(ends[1], text.data(), text.size()) > 0;
    ::_exit(written ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCannot) return std::nullopt;
  if (WIFSIGNALED(status))
    return "the child was ended by signal " + std::to_string(WTERMSIG(status));
  return text;
}

}  // namespace pivotal::testing
