// Apache-2.0. Run folders of searches: making, resuming and merging them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "experiments/search/run_config.h"
#include "pivotal/policy.h"
#include "pivotal/progress.h"
#include "pivotal/search.h"
#include "pivotal/trace.h"

namespace pivotal::experiments {

struct SearchResult {
  // Counts of this call. A resumed run's earlier calls are not included; in a shared run, the work
  // of all processes is.
  SearchSummary summary;
  RolloutCounters counters;  // of this process
  int64_t resumed = 0;       // queries that the folder held before this call
  int64_t lost_workers = 0;  // processes of a shared run that died; others redid their problems
  // Other processes of a shared run still worked when this one ended; the last one joins the
  // shards.
  bool left_to_others = false;
};

// Several processes that see the same files, on one machine or on several, can search one run
// together: each takes problems that no process has taken (data/traces/work_queue.h), and the last
// one to finish joins the results. With the same seed they find what one process finds. A budget
// belongs to one process, so a shared run with a budget throws Error.
struct SearchTeam {
  bool shared = false;
  bool first = true;  // this process makes the run folder; the other processes wait for it
  int64_t rank = 0;   // its number among the processes of its launch, for those who watch
  int wait = 600;     // longest wait for the run folder, in seconds
  // Names the launch that started the processes, so that they do not join a run that another one
  // has made. "": it is not known, and the processes join whatever they find.
  std::string launch;
  std::string device;  // device of this process; "": ModelSettings::device
};

// Searches all problems of `config` and fills the folder `run`: run.toml and shards/, in the end
// traces.h5. Throws Error before anything is written if a setting is bad or the folder is not
// empty, or if the oracle fails too often (finished groups stay). Throws Interrupted on a stop
// request; finished groups stay in shards/. If the folder becomes unwritable (full disk, moved,
// removed), Error says how to go on and stored groups stay.
SearchResult RunSearch(const RunConfig& config, const std::filesystem::path& run,
                       Progress& progress, const SearchTeam& team = {});

// Limits that take the place of the run's own. Tokens count from the start of the run.
struct ResumeOptions {
  std::optional<int64_t> budget_tokens, pairs;
  std::optional<double> budget_seconds;
  std::optional<double> max_oracle_failures;
  // Where the servers are now, and how many requests they get at once.
  std::vector<std::string> served_urls;
  std::optional<int32_t> concurrency;
};

// Continues an interrupted run under its own settings, without the queries that it holds; those
// that it holds with failed verdicts are searched again, by the same draws. Throws Error if the
// weights have changed since the run began, or the served model or its log-probabilities are
// others, or another process works in the folder.
SearchResult ResumeSearch(const std::filesystem::path& run, const ResumeOptions& options,
                          Progress& progress, const SearchTeam& team = {});

// Returns the number of tokens in all rollouts that a run has stored.
int64_t GeneratedTokens(const std::filesystem::path& run);

struct MergedRuns {
  int64_t problems = 0;  // problems that the runs hold
  int64_t missing = 0;   // problems of the problem file that no run holds
};

// Makes the run folder `output` of runs over shards of one problem file: run.toml for the whole
// file, and traces.h5 in its order. Throws Error before anything is written if there are fewer than
// two runs, a problem is in two runs or not in the file, or runs differ in their model or in a
// setting, which the Error names.
MergedRuns MergeRuns(const std::vector<std::filesystem::path>& runs,
                     const std::filesystem::path& output);

}  // namespace pivotal::experiments
