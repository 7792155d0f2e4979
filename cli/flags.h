// Apache-2.0. Flags that several commands have, and the commands themselves.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <set>
#include <string>

#include "experiments/settings/hub_names.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/served.h"

namespace pivotal::cli {

// Adds --model (required unless it has a default), --adapter, --device, --dtype, --prompt-format.
void AddModelFlags(CLI::App& app, ModelSettings& model);
// Adds --policy, --served-model, --tokenizer, --server, --concurrency, --request-timeout and
// --give-up, and makes --model optional. --tokenizer gives ModelSettings::folder.
void AddServedFlags(CLI::App& app, ServedSettings& served, ModelSettings& model);
// Throws ParseError unless there is either a model or a served one with its tokenizer, and for
// flags that mean nothing to the one that there is. Call it once flags are parsed and a settings
// file is read.
void CheckServedFlags(const CLI::App& app, const ServedSettings& served,
                      const ModelSettings& model);
// Adds --system, for commands that make prompts.
void AddSystemFlag(CLI::App& app, ModelSettings& model);
// Adds --problems (required), --dataset, --oracle, --id-key, --question-key, --answer-key, --limit,
// and AddOracleFlags().
void AddProblemFlags(CLI::App& app, ProblemSettings& problems);
// Finds the problem file if its name is one of the Hub, where `split` is taken if the name says
// none ("train", "test"). Sets what the data set that --dataset or --eval-dataset named needs,
// where
// --oracle, --eval-oracle and the flags of keys were not given; without a data set and an oracle,
// sets what the file plainly holds, unless a settings file `knows_oracle`. Call it once all flags
// are read.
void UseDataset(const CLI::App& app, ProblemSettings& problems, const std::string& split,
                bool knows_oracle = false);
// Finds a model and an adapter that a settings file names by their names on the Hub.
void FindModels(ModelSettings& model, bool is_served);
// Adds --oracle-timeout, --oracle-memory, --max-oracle-failures, --allow-unsandboxed.
void AddOracleFlags(CLI::App& app, OracleOptions& options);
// Adds --temperature, --top-k, --top-p, --min-p, --max-new-tokens, --batch, --kv-memory, --stop,
// --weights, --seed.
void AddSamplingFlags(CLI::App& app, SamplingSettings& sampling);
// Adds --json, which prints the result as one JSON object (data/FORMATS.md).
void AddJsonFlag(CLI::App& app, bool& json);
// Adds --force to a command whose output can be made again: the file or folder that is there is
// replaced once the new one is whole.
void AddForceFlag(CLI::App& app, bool& force);
// Adds --max-shard-size.
void AddShardSizeFlag(CLI::App& app, int64_t& bytes);

// Adds --config.
void AddConfigFlag(CLI::App& app, std::filesystem::path& file, const std::string& form);
// Gives the settings of all options that were given to their variables again, as flags win over
// what a settings file said.
void ApplyFlagsAgain(CLI::App& app);

// Returns true if the command line has this option; false if there is none of this name, too.
bool IsGiven(const CLI::App& app, const std::string& name);

// Throws ParseError for an option beside --resume that is none of `allowed`: the run goes on under
// its own settings. What every command has is always allowed, and --json.
void RefuseBesideResume(const CLI::App& app, const std::set<std::string>& allowed);

// The help text of --oracle, which lists the names, and that of --model.
extern const char* const kOracleHelp;
extern const char* const kModelHelp;

// Makes an option of `app` for a model or an adapter take its name on the Hub, too, which becomes
// the folder in the cache of the Hub's tools.
void FindOnHub(CLI::Option* option, const CLI::App& app, experiments::ModelPart part);

// One function per command: registers its flags and the function that they are passed to.
void AddDemo(CLI::App& app);
void AddSearch(CLI::App& app);
void AddMerge(CLI::App& app);
void AddWatch(CLI::App& app);
void AddPairs(CLI::App& app);
void AddCurve(CLI::App& app);
void AddAnswers(CLI::App& app);
void AddShow(CLI::App& app);
void AddReport(CLI::App& app);
void AddExport(CLI::App& app);
void AddImport(CLI::App& app);
void AddTrain(CLI::App& app);
void AddMergeAdapter(CLI::App& app);
void AddEval(CLI::App& app);
void AddAblate(CLI::App& app);
void AddGenerate(CLI::App& app);
void AddScore(CLI::App& app);
void AddGrade(CLI::App& app);
void AddBench(CLI::App& app);
void AddInfo(CLI::App& app);
void AddTokenize(CLI::App& app);
void AddCompletion(CLI::App& app);

}  // namespace pivotal::cli
