// Apache-2.0. Preference pairs of a run folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pivotal/oracle.h"
#include "pivotal/pairs.h"

namespace pivotal::experiments {

// How a run became pairs.
struct PairSummary {
  int64_t problems = 0;               // in the run
  int64_t with_pairs = 0;             // of these
  std::optional<double> false_share;  // of pivotal pairs: FalseShareBound()
  VerdictCounts scores;               // of judged pairs: the judge's answers
  // How many problems gave no pair and what a pair needs, one line; "" if all gave one, or if pairs
  // were left out because there are enough.
  std::string without_pairs;
};

// Returns the pivotal pairs of a run, built from its traces. Needs the tokenizer of the run's
// model, not the weights.
std::vector<PreferencePair> PairsOfRun(const std::filesystem::path& run, const PairOptions& options,
                                       PairSummary* summary = nullptr);

// Which other pairs to make of the responses and rollouts of a run.
struct OtherPairs {
  std::string source = "random";  // one of OtherSources()
  int32_t count = 0;              // number of pairs at most; 0: as many as there are
  uint64_t seed = 1;
  std::string refusal = "I don't know.";           // "refusal": text of the refusing response
  std::string judge;                               // "judged": command, see pts::MakeCommandScorer
  double judge_timeout = 60;                       // "judged": seconds for one score
  int32_t judge_responses = 8;                     // "judged": responses to score for each problem
  double margin = 1;                               // "judged": least difference of a pair's scores
  double threshold = StepPairOptions{}.threshold;  // "step": see StepPairOptions
};

// Returns the names of the sources: "random", "entropy", "low-probability" (control pairs, which
// load the model), "full", "critical", "step", "judged" and "refusal" (include/pivotal/pairs.h).
std::vector<std::string> OtherSources();

// Throws Error for an unknown source, for "judged" without a judge, for a judge that fails more
// often than the run's settings allow, or for "critical" and "step" of a run that has not measured
// p(success) along its responses. A response without a score is in no pair. `begin` is called
// before a judge is asked, with about the largest size in bytes that a file of the pairs may have.
std::vector<PreferencePair> OtherPairsOfRun(const std::filesystem::path& run,
                                            const OtherPairs& options,
                                            PairSummary* summary = nullptr,
                                            const std::function<void(int64_t)>& begin = {});

}  // namespace pivotal::experiments
