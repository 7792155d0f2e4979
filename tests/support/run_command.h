// Apache-2.0. Runs a shell command and keeps what it says; what the program's own tests share.
#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace pivotal::testing {

struct CommandResult {
  int code = 0;        // exit code
  std::string output;  // stdout and stderr
};

inline CommandResult RunCommand(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("popen failed");
  CommandResult result;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe))
    result.output.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

// The shipped model and problems.
inline const std::string kTiny = PIVOTAL_SOURCE_DIR "/experiments/tiny";
inline const std::string kTinyModel = kTiny + "/model";

// The program under test with arguments.
inline CommandResult Pivotal(const std::string& arguments) {
  return RunCommand(std::string(PIVOTAL_BINARY) + " " + arguments);
}

}  // namespace pivotal::testing
