// Apache-2.0. All settings of a search, and run.toml, which keeps them.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

#include "experiments/settings/input_files.h"
#include "experiments/settings/settings_file.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/search.h"
#include "pivotal/served.h"

namespace pivotal::experiments {

// All settings that decide what a search finds.
struct RunConfig {
  ModelSettings model;
  ServedSettings served;  // with addresses, `model` says the tokenizer's folder alone
  ProblemSettings problems;
  // The problem file will not stay where it is: RunSearch copies it into the run folder, as
  // "problems", which is what run.toml says then.
  bool keep_problems = false;
  SamplingSettings sampling;
  std::string strategy = "anchored";  // see pts::kStrategyNames
  // Returns the name of the served model, or else the model's name on the Hub if its folder lies in
  // the Hub's cache, or else the folder.
  std::string ModelName() const;
  // `kind`, `max_new_tokens` and `max_oracle_failures` are unused: `strategy`, `sampling` and
  // `problems` stand for them.
  SearchOptions search;
};

// What a search is for. "pairs" finds as many pairs for training as it can for each generated token
// (SearchOptions::ForPairs); "findings", the default, finds tokens as exactly as it can.
inline constexpr std::array<const char*, 2> kGoals = {"pairs", "findings"};

// Sets strategy, samples, responses and min_yield to what suits `goal`, one of kGoals. Throws Error
// for another.
void SetGoal(std::string_view goal, RunConfig& config);

// Returns the options of the search, with strategy, tokens and failures as the settings say. Throws
// Error that names a setting of the search, of sampling or of the oracle's limits that has no
// sense. Reads no file.
SearchOptions SearchOptionsOf(const RunConfig& config);

// Reads the settings that `file` has, of the form of run.toml or of a recipe's [run], into
// `config`. What run.toml holds beside settings, such as fingerprints, is left aside. Throws Error
// that names the file for an unknown setting or a value of another type. Returns true if the file
// names an oracle or a data set, which has one.
bool ApplyRunSettings(const std::filesystem::path& file, RunConfig& config);

// What a run began with, besides its settings.
struct RunStart {
  std::string weights_sha256 = {};  // see ModelFingerprint; "" for a served model
  ServedFacts served = {};          // of a served model
  InputFiles files = {};
  // Names the launch (by mpirun or srun) whose processes search the run together; "": it is not
  // known. See SearchTeam.
  std::string launch = {};
};
// Returns where a run folder keeps the problems that RunConfig::keep_problems speaks of.
std::filesystem::path KeptProblems(const std::filesystem::path& run);

// Returns the fingerprints of the files that `config` names. Throws Error if one can't be read.
InputFiles InputFilesOf(const RunConfig& config);

// Throws Error for a run of --strategy none, which has measured p(success) of no response.
void RequireMeasured(const RunConfig& config, const std::filesystem::path& run);

// Writes RUN/run.toml with the version of Pivotal and `start`.
void SaveRunConfig(const RunConfig& config, const RunStart& start,
                   const std::filesystem::path& run);
// Reads RUN/run.toml. A setting that the file lacks has its default. Throws Error that names the
// file and the line.
RunConfig LoadRunConfig(const std::filesystem::path& run);
// Reads RUN/run.toml for a process that goes on with the run. Warns of settings that the file
// lacks, and throws Error for a setting that this version does not know.
RunConfig LoadRunConfig(const std::filesystem::path& run, RunStart& start);

// Replaces the settings of `config` that `file` names, by the sections and keys of run.toml, and
// search.for = "pairs" or "findings", which SetGoal applies before the others. Throws Error for an
// unknown name or a value of another type.
void ApplySettings(const SettingsFile& file, RunConfig& config);

// Returns all settings as TOML, except the paths of model and problems and the addresses of
// servers: equal texts mean equal searches.
std::string SettingsText(const RunConfig& config);

}  // namespace pivotal::experiments
