// Apache-2.0. What tests need from outside this repository and can be without.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/support/run_command.h"

namespace pivotal::testing {

// Where the environment variable PIVOTAL_REQUIRE names a tool ("chromium,h5py", as .ci/run does), a test that misses
// it fails instead of being skipped.
struct OutsideTool {
  const char* name;
  const char* check;    // a command that succeeds where it is there
  const char* package;  // Debian's
};

inline constexpr OutsideTool kChromium = {"chromium", "command -v chromium", "chromium"};
inline constexpr OutsideTool kH5py = {"h5py", "/usr/bin/python3 -c 'import h5py'", "python3-h5py"};

inline bool IsRequired(const OutsideTool& tool) {
  const char* required = std::getenv("PIVOTAL_REQUIRE");
  return required != nullptr && ("," + std::string(required) + ",").find("," + std::string(tool.name) + ",") != std::string::npos;
}

// True if the tool is there. Otherwise the test is marked as skipped or failed: let it return.
inline bool HasTool(const OutsideTool& tool) {
  if (RunCommand(tool.check).code == 0) return true;
  const std::string text = "no " + std::string(tool.name) + ": install Debian's " + tool.package + " (scripts/setup test does)";
  [&] {
    if (IsRequired(tool)) FAIL() << text << "; PIVOTAL_REQUIRE asks for it";
    GTEST_SKIP() << text;
  }();
  return false;
}

}  // namespace pivotal::testing
