// Apache-2.0. Flags that several subcommands share.
#pragma once

#include <CLI/CLI.hpp>

#include "experiments/run_config.h"

namespace pivotal::cli {

// --model (required unless it has a default), --adapter, --device, --dtype, --prompt-format.
void AddModelFlags(CLI::App& app, experiments::ModelSettings& model);
// --system, for the subcommands that make prompts.
void AddSystemFlag(CLI::App& app, experiments::ModelSettings& model);
// --problems (required), --oracle, AddOracleFlags, --id-key, --question-key, --answer-key, --limit.
void AddProblemFlags(CLI::App& app, experiments::ProblemSettings& problems);
// --oracle-timeout, --oracle-memory, --allow-unsandboxed.
void AddOracleFlags(CLI::App& app, pts::OracleOptions& options);
// --temperature, --top-k, --top-p, --min-p, --max-new-tokens, --batch, --kv-memory, --weights, --seed.
void AddSamplingFlags(CLI::App& app, experiments::SamplingSettings& sampling);

// What --oracle takes, for its help.
extern const char* const kOracleHelp;

// A number strictly between 0 and 1.
extern const CLI::Validator kOpenUnitInterval;

// One function per subcommand, each in its own file: registers flags and what they run.
void AddSearch(CLI::App& app);
void AddPairs(CLI::App& app);
void AddCurve(CLI::App& app);
void AddShow(CLI::App& app);
void AddReport(CLI::App& app);
void AddExport(CLI::App& app);
void AddImport(CLI::App& app);
void AddTrain(CLI::App& app);
void AddAblate(CLI::App& app);
void AddMerge(CLI::App& app);
void AddMergeAdapter(CLI::App& app);
void AddEval(CLI::App& app);
void AddGenerate(CLI::App& app);
void AddScore(CLI::App& app);
void AddGrade(CLI::App& app);
void AddInfo(CLI::App& app);
void AddTokenize(CLI::App& app);
void AddBench(CLI::App& app);
void AddDemo(CLI::App& app);

}  // namespace pivotal::cli
