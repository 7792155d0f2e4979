// Apache-2.0. From a problem file to a run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "data/progress.h"
#include "data/trace_store.h"
#include "experiments/run_config.h"

namespace pivotal::experiments {

struct SearchResult {
  pts::SearchSummary summary;       // of this call; earlier parts of a resumed run are not in it. Of a shared run: of all
  model::RolloutCounters counters;  // of this process
  int64_t resumed = 0;              // queries that the folder held already
  int64_t lost_workers = 0;         // of a shared run: that died with problems in their hands, which others did
};

// Several processes, on one machine or on several that see the same files, may search one run together: each takes
// problems that nobody has (data/work_share.h), and whoever is last joins what all have stored. With the same seed that is what
// one process finds. Budgets are of one process, and an Error here.
struct SearchTeam {
  bool shared = false;
  bool first = true;  // makes the run folder; the others wait for it
  int wait = 600;     // seconds at most
  std::string device;  // of this process; "": as the settings say
};

// Searches all problems of `config` and fills `run` (run.toml, shards/, then traces.h5). Throws
// Error before anything is written if a setting is bad or the folder is not empty; Interrupted
// leaves the finished groups in shards/. Where the folder can't be written any more (full disk,
// moved, removed), Error says how to go on; what was stored stays.
SearchResult RunSearch(const RunConfig& config, const std::filesystem::path& run,
                       Progress& progress, const SearchTeam& team = {});

// Goes on with an interrupted run under its own settings; queries that it holds are not searched
// again. A budget that is given takes the place of the run's own; tokens count from the run's start.
// Throws Error if the weights have changed since, or another process is at work in the folder.
struct ResumeOptions {
  std::optional<int64_t> budget_tokens;
  std::optional<double> budget_seconds;
};
SearchResult ResumeSearch(const std::filesystem::path& run, const ResumeOptions& options,
                          Progress& progress, const SearchTeam& team = {});

// Of all rollouts that a run has stored.
int64_t GeneratedTokens(const data::TraceStore& store);

}  // namespace pivotal::experiments
