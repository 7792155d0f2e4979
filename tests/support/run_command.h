// Apache-2.0. Runs the program under test and other commands. Skips tests whose tools are missing.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace pivotal::testing {

struct CommandResult {
  int code = 0;        // exit code
  std::string output;  // stdout and stderr
};

// Runs a shell command and waits for it.
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

// The folders of the tiny example and of its model.
inline const std::string kTiny = PIVOTAL_SOURCE_DIR "/experiments/tiny";
inline const std::string kTinyModel = kTiny + "/model";

// Runs the program under test with these arguments.
inline CommandResult Pivotal(const std::string& arguments) {
  return RunCommand(PIVOTAL_BINARY " " + arguments);
}

// Runs the Python that CMake was given, whose packages the parity tests compare with.
inline CommandResult Python(const std::string& arguments) {
  return RunCommand(PIVOTAL_PYTHON " " + arguments);
}

// A tool from outside this repository that some tests need. The environment variable
// PIVOTAL_REQUIRE names the tools that must be installed ("chromium,h5py"): where one of them is
// missing, a test fails instead of being skipped.
struct OutsideTool {
  const char* name;
  const char* check;   // a command that succeeds if the tool is installed
  const char* remedy;  // where it comes from
};

inline constexpr OutsideTool kChromium = {"chromium", "command -v chromium",
                                          "install Debian's chromium (scripts/setup test does)"};
inline constexpr OutsideTool kH5py = {"h5py", "/usr/bin/python3 -c 'import h5py'",
                                      "install Debian's python3-h5py (scripts/setup test does)"};
inline constexpr OutsideTool kMpirun = {"mpirun", "command -v mpirun",
                                        "install Debian's openmpi-bin (scripts/setup test does)"};
inline constexpr OutsideTool kBubblewrap = {
    "bubblewrap", "bwrap --ro-bind / / true",
    "install Debian's bubblewrap (scripts/setup test does)"};
// Looks for what keeps a page from people with a screen reader or without a mouse.
#define PIVOTAL_AXE \
  PIVOTAL_SOURCE_DIR "/build/axe/lib/python3*/site-packages/axe_playwright_python/axe.min.js"
inline constexpr OutsideTool kAxe = {
    "axe", "ls " PIVOTAL_AXE,
    "install axe-playwright-python of PyPI into build/axe (make test does)"};

inline bool IsRequired(const OutsideTool& tool) {
  const char* required = std::getenv("PIVOTAL_REQUIRE");
  return required != nullptr &&
         ("," + std::string(required) + ",").find("," + std::string(tool.name) + ",") !=
             std::string::npos;
}

// Returns true if the tool is installed. Otherwise marks the test as skipped or failed; it must
// return.
inline bool HasTool(const OutsideTool& tool) {
  if (RunCommand(tool.check).code == 0) return true;
  const std::string text = "no " + std::string(tool.name) + ": " + tool.remedy;
  [&] {
    if (IsRequired(tool)) FAIL() << text << "; PIVOTAL_REQUIRE asks for it";
    GTEST_SKIP() << text;
  }();
  return false;
}

}  // namespace pivotal::testing
