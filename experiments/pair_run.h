// Apache-2.0. From a run folder to pairs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/preference_pair.h"
#include "pts/pair_builder.h"

namespace pivotal::experiments {

// The pivotal pairs of a run, from its traces; needs the tokenizer of its model, not the weights.
std::vector<data::PreferencePair> PairsOfRun(const std::filesystem::path& run,
                                             const pts::PairOptions& options);

// Other pairs of the same responses and rollouts.
struct OtherPairs {
  std::string source = "random";  // OtherSources()
  int32_t count = 0;              // at most; 0: all there are
  uint64_t seed = 1;
  std::string refusal = "I don't know.";  // of "refusal"
  std::string judge;              // of "judged": a command, pts::MakeCommandScorer
  double judge_timeout = 60;      // seconds for one score
  int32_t judge_responses = 8;    // of a problem that are scored
  double margin = 1;              // of a judged pair's scores, at least
};
// Those of pts::ControlNames(), which load the model; "full", "judged", "refusal" (pts/response_pairs.h).
std::vector<std::string> OtherSources();
// Throws Error for an unknown source, or "judged" without a judge.
std::vector<data::PreferencePair> OtherPairsOfRun(const std::filesystem::path& run, const OtherPairs& options);

}  // namespace pivotal::experiments
