// Apache-2.0. Judges programs by running them against tests.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pivotal/oracle.h"
#include "pts/oracles/code/runner.h"

namespace pivotal::pts {

// Makes the oracle that runs Python programs. A response succeeds if its program (program_text.h)
// passes the tests of the answer (data/FORMATS.md) in a sandbox, within the limits of `options`;
// each judgement starts a new process. Throws Error with the remedy if bubblewrap or Python cannot
// be started. With `options.allow_unsandboxed` it then runs without bubblewrap. Judge throws
// NoVerdict if the host can no longer start a program.
std::unique_ptr<const Oracle> MakeCodeOracle(const OracleOptions& options);

// An answer of one of the two forms in data/FORMATS.md.
struct CodeTask {
  std::string entry_point, test;            // HumanEval; `test` defines check(candidate)
  std::vector<std::string> tests, defines;  // MBPP; names that the tests need
  std::string setup;                        // MBPP; code that runs before the tests
};

// Reads an answer {"entry_point", "test"} or {"tests", "setup", "defines"}; nullopt for any other.
std::optional<CodeTask> ReadCodeTask(std::string_view answer);

// Returns what is run to judge the program of `response` (program_text.h). HumanEval: the prompt
// holds imports and helpers; a program that defines the entry point runs after it, any other
// program continues it; the tests see the prompt's helpers and the entry point. MBPP: the tests see
// everything that the program defines.
CodeJob MakeCodeJob(const CodeTask& task, std::string_view question, std::string_view response);

}  // namespace pivotal::pts
