// Apache-2.0. p(success) along the responses of a run as training targets: step labels for process
// reward models, advantages of tokens, and weights of critical tokens. Needs no model.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "pivotal/pairs.h"

namespace pivotal::experiments {

// The least p(success) after a step that is labelled right: Math-Shepherd (arXiv 2312.08935) draws
// eight completions of each step, and calls it right if one of them is.
inline constexpr double kLabelThreshold = StepPairOptions{}.threshold;

// Where advantages come from: "curve" (BuildCurveAdvantages) or "outcome" (BuildOutcomeAdvantages).
inline constexpr std::array<const char*, 2> kAdvantageKinds = {"curve", "outcome"};
// Returns the completions of a run with advantages of this kind. Throws Error for another kind, and
// with "curve" as ExportSteps() does.
std::vector<AdvantageExample> AdvantagesOfRun(const std::filesystem::path& run,
                                              std::string_view kind);

struct RewardSummary {
  int64_t responses = 0;
  int64_t units = 0;  // steps or tokens
  int64_t right = 0;  // steps that are labelled right
  int64_t empty = 0;  // responses that were left out, as they hold no text
  int64_t alone = 0;  // responses that were left out, as they have no counterpart
};

// Write one JSON object for each searched response (data/FORMATS.md), with the estimates of p_k and
// their intervals as they are stored, and the answers of completions. ExportSteps() labels a step
// right if p(success) after it is at least `threshold`. Both throw Error for a run that has not
// measured p(success) everywhere: one that was imported, or that --strategy none has made.
// ExportAdvantages() of kind "outcome" writes AdvantagesOfRun() instead, of any run.
RewardSummary ExportSteps(const std::filesystem::path& run, const std::filesystem::path& output,
                          double threshold = kLabelThreshold);
RewardSummary ExportAdvantages(const std::filesystem::path& run,
                               const std::filesystem::path& output,
                               std::string_view kind = "curve");

// Writes the pairs of BuildCriticalPairs(), with a score for each token of the searched responses:
// the share of p(success) that it keeps (pts::KeptBy). cDPO's scores are a guess at it. Throws
// Error as ExportSteps() does.
RewardSummary ExportCritical(const std::filesystem::path& run, const std::filesystem::path& output);

}  // namespace pivotal::experiments
