// Apache-2.0. What tests need from outside this repository and can be without.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/support/run_command.h"

namespace pivotal::testing {

struct OutsideTool {
  const char* name;
  const char* check;    // a command that succeeds where it is there
  const char* package;  // Debian's
};

inline constexpr OutsideTool kH5py = {"h5py", "/usr/bin/python3 -c 'import h5py'", "python3-h5py"};

// True if the tool is there. Otherwise the test is marked as skipped: let it return.
inline bool HasTool(const OutsideTool& tool) {
  if (RunCommand(tool.check).code == 0) return true;
  const std::string text = "no " + std::string(tool.name) + ": install Debian's " + tool.package + " (scripts/setup test does)";
  [&] { GTEST_SKIP() << text; }();
  return false;
}

}  // namespace pivotal::testing
