// Apache-2.0.
#include "experiments/settings/dataset_settings.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "data/base/error.h"
#include "data/problems/guess.h"
#include "pivotal/problem.h"

namespace pivotal::experiments {

void UseDataset(const std::string& name, ProblemSettings& problems) {
  ProblemSetOptions options = DatasetOptions(name);
  options.limit = problems.options.limit;
  options.shard = problems.options.shard;
  problems.options = std::move(options);
  problems.oracle = DatasetOracle(name);
}

void UseDataset(const SettingsFile& file, std::string_view section, ProblemSettings& problems) {
  constexpr std::string_view kKey = "dataset";
  if (!file.Contains(section, kKey)) return;
  const auto name = file.Get<std::string>(section, kKey);
  if (name.empty()) return;
  try {
    UseDataset(name, problems);
  } catch (const Error& error) {
    file.FailAt(section, kKey, error.what());
  }
}

void GuessDataset(ProblemSettings& problems) {
  const auto guess = data::GuessProblems(problems.file, problems.options);
  if (!guess) return;
  if (!guess->dataset.empty()) UseDataset(guess->dataset, problems);
  problems.oracle = guess->oracle;
  spdlog::info("{} {}: the oracle is {} (--oracle chooses another)", problems.file.string(),
               guess->why, guess->oracle);
}

}  // namespace pivotal::experiments
