// Apache-2.0. All settings of a search, and run.toml, which keeps them.
#pragma once

#include <filesystem>
#include <string>

#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/search.h"

namespace pivotal::experiments {

class SettingsFile;  // experiments/settings/settings_file.h

// All settings that decide what a search finds.
struct RunConfig {
  ModelSettings model;
  ProblemSettings problems;
  SamplingSettings sampling;
  std::string strategy = "anchored";  // see pts::kStrategyNames
  // `kind`, `max_new_tokens` and `max_oracle_failures` are unused: `strategy`, `sampling` and
  // `problems` stand for them.
  SearchOptions search;
};

// Writes RUN/run.toml with the version of Pivotal and the fingerprint of the weights.
void SaveRunConfig(const RunConfig& config, const std::string& weights_sha256,
                   const std::filesystem::path& run);
// Reads RUN/run.toml; `weights_sha256` receives the saved fingerprint. Throws Error that names the
// file and the line.
RunConfig LoadRunConfig(const std::filesystem::path& run, std::string* weights_sha256 = nullptr);

// Replaces the settings of `config` that `file` names, by the sections and keys of run.toml. Throws
// Error for an unknown name or a value of another type.
void ApplySettings(const SettingsFile& file, RunConfig& config);

// Returns all settings as TOML, except the paths of model and problems: equal texts mean equal
// searches.
std::string SettingsText(const RunConfig& config);

}  // namespace pivotal::experiments
