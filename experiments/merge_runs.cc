// Apache-2.0.
#include "experiments/merge_runs.h"

#include <string>
#include <set>
#include <unordered_map>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/run_lock.h"
#include "data/trace_store.h"
#include "experiments/run_config.h"
#include "experiments/settings_file.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

// Settings by "section.key", without those that may differ: which shard, where, on what device and how fast.
std::unordered_map<std::string, std::string> MustAgree(const fs::path& run) {
  static const std::set<std::string> kFree = {"problems.shard", "problems.file", "model.folder",
                                              "model.device", "sampling.batch", "sampling.kv_memory", "search.group",
                                              "search.judge_threads", "search.budget_tokens", "search.budget_seconds"};
  std::unordered_map<std::string, std::string> settings;
  for (const auto& [section, key, value] : SettingsFile(run / "run.toml", "pivotal search").All()) {
    const std::string name = section.empty() ? key : section + "." + key;
    if (!kFree.contains(name)) settings[name] = value;
  }
  return settings;
}

void CheckSame(const fs::path& first, const fs::path& other) {
  const auto a = MustAgree(first), b = MustAgree(other);
  for (const auto& [name, value] : a) {
    const auto found = b.find(name);
    const std::string theirs = found == b.end() ? "nothing" : found->second;
    if (theirs != value)
      Fail("{}: {} is {}, but {} in {}: only runs with the same model and settings can be merged", other.string(), name,
           theirs, value, first.string());
  }
}

}  // namespace

MergedRuns MergeRuns(const std::vector<fs::path>& runs, const fs::path& output) {
  if (runs.size() < 2) Fail("merge: name two runs or more");
  for (const fs::path& run : runs) CheckSame(runs.front(), run);
  std::string weights;
  RunConfig config = LoadRunConfig(runs.front(), &weights);
  config.problems.options.shard.clear();
  config.search.budget_tokens = 0;
  config.search.budget_seconds = 0;
  std::vector<std::string> ids;
  std::unordered_map<std::string, fs::path> run_of;  // by id; empty: in none so far
  for (const data::Problem& problem : data::LoadProblems(config.problems.file, config.problems.options)) {
    ids.push_back(problem.id);
    run_of[problem.id];
  }
  std::vector<data::QueryTrace> all;
  for (const fs::path& run : runs) {
    const data::RunLock lock(run);  // nobody writes meanwhile
    for (data::QueryTrace& query : data::TraceStore(run).ReadAll()) {
      const auto known = run_of.find(query.id);
      if (known == run_of.end())
        Fail("{}: problem {} is not in {}", run.string(), query.id, config.problems.file.string());
      if (!known->second.empty())
        Fail("{}: problem {} is in {} too; shards of one file share none", run.string(), query.id, known->second.string());
      known->second = run;
      all.push_back(std::move(query));
    }
  }
  data::CreateOutputFolder(output);
  const data::RunLock lock(output);
  SaveRunConfig(config, weights, output);
  data::TraceStore store(output);
  store.Append(all);
  store.Consolidate(ids);
  return {std::ssize(all), std::ssize(ids) - std::ssize(all)};
}

}  // namespace pivotal::experiments
