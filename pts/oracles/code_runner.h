// Apache-2.0. Runs a Python program and its tests once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pts/oracles/oracle_options.h"
#include "pts/oracles/sandbox.h"

namespace pivotal::pts {

// What code_harness.h runs; its keys are explained there.
struct CodeJob {
  std::string context, solution;
  std::optional<std::vector<std::string>> take;
  std::vector<std::string> defines, tests;
};

struct CodeOutcome {
  bool started = false;  // false: the host could not run it, which says nothing about the program
  bool passed = false;   // ran the tests to their end within all limits
  std::string errors;    // what it printed to stderr, at most OracleOptions::output
};

// `options` limits it: wall time from its start, and for each of its processes CPU time (a second
// more), memory, file size; memory of all its processes together (looked at every 20 ms), their
// number and what they print. None of its processes outlives the call inside bubblewrap; without
// it, one that left its session may.
CodeOutcome RunCode(const Sandbox& sandbox, const CodeJob& job, const OracleOptions& options);

}  // namespace pivotal::pts
