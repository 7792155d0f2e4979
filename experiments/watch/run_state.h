// Apache-2.0. The state of a search or a training that other processes work on, for people who
// watch it. Reads the run folder and writes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/base/worker_status.h"
#include "experiments/watch/stored_problems.h"
#include "experiments/watch/training_log.h"

namespace pivotal::experiments {

enum class RunCondition {
  kEmpty,    // the folder has nothing of a run yet
  kWorking,  // at least one process works on it
  kSilent,   // processes on other machines may work on it: their last sign of life is minutes old
  kStopped,  // it is not finished, and nobody works on it
  kFinished
};

struct WorkerState {
  data::WorkerStatus status;
  data::WorkerLife life = data::WorkerLife::kWorks;
  double age = 0;  // seconds since the last sign of life

  // Returns a number that the worker has told (Progress::Tell); 0 if it has not.
  double Number(const std::string& name) const {
    const auto found = status.numbers.find(name);
    return found == status.numbers.end() ? 0 : found->second;
  }
};

struct SearchState {
  std::string model, strategy;
  double min_success = 0, max_success = 1;
  std::optional<int64_t> problems;  // nothing: the problem file cannot be read any more
  // Of what is stored.
  int64_t stored = 0, searched = 0, skipped = 0, cut_short = 0, failed_verdicts = 0;
  int64_t responses = 0, pivotal = 0, pairs = 0, rollouts = 0, tokens = 0;
  double pair_cost = 0, next_pair_cost = 0;  // in tokens; 0: unknown
  // Of the groups that are in hand.
  int64_t group_problems = 0, group_done = 0, group_pivotal = 0, group_pairs = 0, group_tokens = 0;
  int64_t budget_tokens = 0, pairs_wanted = 0;            // 0: no limit
  double budget_seconds = 0;                              // of the call; 0: no limit
  double problems_per_second = 0, tokens_per_second = 0;  // of all workers, since they began
  std::optional<double> seconds_left;
  std::string ends_by;  // what ends it then: "problems", "tokens", "pairs" or "time"
  std::vector<PairPoint> curve;
};

struct TrainingState {
  std::string objective, metric;
  int64_t step = 0, steps = 0;                                                  // steps 0: unknown
  double loss = 0, margin = 0, accuracy = 0, grad_norm = 0, learning_rate = 0;  // NaN: not logged
  double examples_per_second = 0, tokens_per_second = 0, steps_per_second = 0;
  double held_out = 0, best = 0;  // values of `metric`; NaN: not measured
  int64_t best_step = 0;
  int64_t memory = 0, planned_memory = 0;  // bytes, the most of any worker; 0: unknown
  std::optional<double> seconds_left;
  std::vector<std::pair<std::string, FollowedLog::Points>> series;  // thinned out
};

struct RunState {
  std::filesystem::path run;
  double time = 0;  // seconds since 1970
  RunCondition condition = RunCondition::kEmpty;
  std::string message;              // what that means, and what to do
  std::vector<std::string> faults;  // files that cannot be read, a line for each
  std::optional<SearchState> search;
  std::optional<TrainingState> training;
  std::vector<WorkerState> workers;
};

// Looks at a run again and again. Keeps what it has read, so that a look costs what is new.
class RunFollower {
 public:
  // Throws Error unless `run` is a folder that is empty or of a search or a training.
  explicit RunFollower(std::filesystem::path run);

  // Returns the state now. Throws Error if the folder has been removed or run.toml or train.toml
  // cannot be read.
  RunState Look();

 private:
  void LookAtSearch(RunState& state);
  void LookAtTraining(RunState& state);
  std::optional<int64_t> CountProblems();

  std::filesystem::path run_;
  StoredProblems stored_;
  FollowedLog log_;
  std::optional<std::optional<int64_t>> counted_;  // problems of the problem file
};

// Returns the state as the JSON of data/FORMATS.md.
nlohmann::ordered_json StateJson(const RunState& state);

}  // namespace pivotal::experiments
