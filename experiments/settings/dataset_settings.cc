// Apache-2.0.
#include "experiments/settings/dataset_settings.h"

#include <utility>

#include "data/base/error.h"
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
    Fail("{}.{}: {}", section, kKey, error.what());
  }
}

}  // namespace pivotal::experiments
