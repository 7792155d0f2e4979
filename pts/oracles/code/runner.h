// Apache-2.0. Runs a Python program and its tests once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pivotal/oracle.h"
#include "pts/oracles/code/sandbox.h"

namespace pivotal::pts {

// What the Python harness in runner.cc runs; the meaning of its members is explained there.
struct CodeJob {
  std::string context;
  std::vector<std::string> solutions;
  std::optional<std::vector<std::string>> take;
  std::vector<std::string> defines, tests;
};

struct CodeOutcome {
  bool started = false;  // false: the host could not run the program, which says nothing about it
  bool passed = false;   // all tests ran to their end within the limits
  std::string errors;    // what the program printed to stderr, at most OracleOptions::output
};

// Runs a program and its tests once. `options` limits wall time from its start; CPU time (one
// second more), memory and file size of each of its processes; memory of all its processes
// together, and their number, both measured every 20 ms; and what they print. In bubblewrap none of
// its processes outlives the call; without it, a process that has left its session may.
CodeOutcome RunCode(const Sandbox& sandbox, const CodeJob& job, const OracleOptions& options);

}  // namespace pivotal::pts
