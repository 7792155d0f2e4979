// Apache-2.0. An answer that the code oracle can read, and what is run to judge a response.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pts/oracles/code_runner.h"
#include "pts/oracles/oracle.h"

namespace pivotal::pts {

// The answers of data/FORMATS.md: {"entry_point","test"} or {"tests","setup","defines"}.
struct CodeTask {
  std::string entry_point, test;                  // HumanEval: `test` defines check(candidate)
  std::vector<std::string> tests, defines;        // MBPP
  std::string setup;
};

// Nullopt for an answer that is none of these.
std::optional<CodeTask> ReadCodeTask(std::string_view answer);

// HumanEval: a response that defines the entry point follows the prompt, which holds imports and
// helpers; any other continues it. The tests see the prompt's helpers and the entry point of the
// response. MBPP: the tests see all that the response defines.
CodeJob MakeCodeJob(const CodeTask& task, std::string_view question, std::string_view program);

}  // namespace pivotal::pts
