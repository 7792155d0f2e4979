// Apache-2.0.
#include "bench/search_score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace pivotal::bench {
namespace {

bool Holds(double low, double high, double value, double slack) {
  constexpr double kRounding = 1e-5;
  slack += kRounding;
  return value >= low - slack && value <= high + slack;
}

}  // namespace

void SearchScore::Add(const ResponseTrace& response, std::span<const double> truth,
                      std::span<const double> slack) {
  responses_ += 1;
  length_ += static_cast<double>(response.tokens.size());
  std::set<int32_t> reported;
  for (const PivotalToken& token : response.pivotal) {
    const double delta = truth[token.position] - truth[token.position - 1];
    reported.insert(token.position);
    reported_ += 1;
    wrong_ += std::abs(delta) < kGap - kTolerance;
    below_ += std::abs(delta) < kGap;
    expected_below_ += 1 - token.probability;
    covered_ += Holds(token.low, token.high, delta, slack[token.position - 1]);
  }
  for (int32_t k = 1; k < std::ssize(truth); ++k) {
    if (std::abs(truth[k] - truth[k - 1]) < kGap + kTolerance) continue;
    strong_ += 1;
    found_ += reported.contains(k);
  }
  for (const PrefixEstimate& estimate : response.estimates) {
    values_ += 1;
    values_covered_ +=
        Holds(estimate.low, estimate.high, truth[estimate.position], slack[estimate.position]);
  }
}

void SearchScore::AddShares(const QueryTrace& query) {
  for (const RolloutTrace& rollout : query.rollouts) {
    const auto tokens = static_cast<double>(rollout.tokens.size());
    if (rollout.kind == RolloutKind::kQuery) prompt_tokens_ += tokens;
    if (rollout.forced >= 0) confirm_tokens_ += tokens;
  }
}

void SearchScore::AddPair(double difference) {
  constexpr double kRounding = 1e-9;
  pairs_ += 1;
  pairs_below_ += difference < kGap - kRounding;
  pairs_wrong_ += difference < 0;
}

std::string SearchScore::Json() const {
  const double reported = std::max(1.0, reported_), pairs = std::max(1.0, pairs_);
  return fmt::format(
      R"("responses": {:.0f}, "length": {:.1f}, "strong": {:.3f}, "recall": {:.4f}, )"
      R"("reported": {:.3f}, "false_share": {:.4f}, "below": {:.4f}, "expected_below": {:.4f}, )"
      R"("tokens": {:.0f}, "prompt_tokens": {:.0f}, "confirm_tokens": {:.0f}, )"
      R"("found_per_million": {:.2f}, "coverage_delta": {:.4f}, )"
      R"("coverage_p": {:.4f}, "pairs": {:.0f}, "true_pairs_per_million": {:.2f}, )"
      R"("pairs_below": {:.4f}, "pairs_wrong": {:.4f})",
      responses_, length_ / responses_, strong_ / responses_, found_ / std::max(1.0, strong_),
      reported_ / responses_, wrong_ / reported, below_ / reported, expected_below_ / reported,
      tokens_ / responses_, prompt_tokens_ / responses_, confirm_tokens_ / responses_,
      1e6 * (reported_ - below_) / tokens_, covered_ / reported, values_covered_ / values_, pairs_,
      1e6 * (pairs_ - pairs_below_) / tokens_, pairs_below_ / pairs, pairs_wrong_ / pairs);
}

}  // namespace pivotal::bench
