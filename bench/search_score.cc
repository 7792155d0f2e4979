// Apache-2.0.
#include "bench/search_score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/philox.h"

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
  std::vector<int32_t> reported;
  for (const PivotalToken& token : response.pivotal) reported.push_back(token.position);
  AddReported(reported, nullptr, truth);
  for (const PivotalToken& token : response.pivotal) {
    const double delta = truth[token.position] - truth[token.position - 1];
    expected_below_ += 1 - token.probability;
    covered_.Add(Holds(token.low, token.high, delta, slack[token.position - 1]));
    Bin& bin = bins_[std::clamp(static_cast<int>(10 * token.probability), 0, 9)];
    bin.count += 1;
    bin.probability += token.probability;
    bin.pivotal += std::abs(delta) >= kGap;
  }
  for (const PrefixEstimate& estimate : response.estimates) {
    const double p = truth[estimate.position];
    const bool holds = Holds(estimate.low, estimate.high, p, slack[estimate.position]);
    p_covered_.Add(holds);
    if (estimate.position == 0 && problems_.back().responses == 1) {
      p0_covered_.Add(holds);
      p0_error_ += estimate.mean - p;
      p0_inward_ += p < 0.5 ? estimate.mean - p : p - estimate.mean;
    }
    if (estimate.position + 1 < std::ssize(truth)) {
      square_error_ += (estimate.mean - p) * (estimate.mean - p);
      square_errors_ += 1;
    }
  }
}

void SearchScore::AddReported(std::span<const int32_t> reported,
                              const std::vector<Sentence>* sentences,
                              std::span<const double> truth) {
  const auto size_of = [&](int32_t k) { return std::abs(truth[k] - truth[k - 1]); };
  responses_ += 1;
  length_ += static_cast<double>(truth.size()) - 1;
  problems_.back().responses += 1;
  for (const int32_t k : reported) {
    wrong_.Add(size_of(k) < kGap - kTolerance);
    below_.Add(size_of(k) < kGap);
  }
  for (int32_t k = 1; k < std::ssize(truth); ++k) {
    if (size_of(k) < kGap + kTolerance) continue;
    const bool found = std::ranges::find(reported, k) != reported.end();
    recall_.Add(found);
    problems_.back().recall.Add(found);
    if (sentences == nullptr) continue;
    in_sentence_.Add(std::ranges::any_of(
        *sentences, [k](const Sentence& s) { return k >= s.first && k <= s.last; }));
  }
}

void SearchScore::AddAlternative(double low, double high, double truth) {
  aside_covered_.Add(Holds(low, high, truth, 0));
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
  pairs_below_.Add(difference < kGap - kRounding);
  pairs_wrong_.Add(difference < 0);
}

std::string SearchScore::Text(double value, double all) {
  return all > 0 ? fmt::format("{:.4f}", value) : "null";
}

std::array<double, 2> SearchScore::RecallInterval() const {
  constexpr int32_t kDraws = 2000;
  kernels::RandomStream random(1, kernels::MixStream(0, "recall interval"));
  std::vector<double> recalls;
  for (int32_t draw = 0; draw < kDraws; ++draw) {
    Share sum;
    for (std::size_t i = 0; i < problems_.size(); ++i) {
      const Share& one = problems_[random.Below(std::ssize(problems_))].recall;
      sum.hits += one.hits;
      sum.all += one.all;
    }
    if (sum.all > 0) recalls.push_back(sum.hits / sum.all);
  }
  if (recalls.empty()) return {0, 1};
  std::ranges::sort(recalls);
  const auto last = static_cast<double>(recalls.size() - 1);
  return {recalls[std::lround(0.025 * last)], recalls[std::lround(0.975 * last)]};
}

std::string SearchScore::CalibrationJson() const {
  std::string text;
  for (const Bin& bin : bins_)
    text += fmt::format("{}[{:.0f}, {}, {}]", text.empty() ? "" : ", ", bin.count,
                        Text(bin.probability / bin.count, bin.count),
                        Text(bin.pivotal / bin.count, bin.count));
  return text;
}

std::string SearchScore::Json() const {
  const auto searched =
      std::ranges::count_if(problems_, [](const Problem& p) { return p.responses > 0; });
  const auto [low, high] = RecallInterval();
  const double reported = wrong_.all, pairs = pairs_below_.all;
  std::string text = fmt::format(
      R"("problems": {}, "searched": {}, "responses": {:.0f}, "length": {}, "strong": {}, )"
      R"("recall": {}, "recall_low": {}, "recall_high": {}, "recall_sentence": {}, )",
      problems_.size(), searched, responses_, Text(length_ / responses_, responses_),
      Text(recall_.all / responses_, responses_), Text(recall_), Text(low, recall_.all),
      Text(high, recall_.all), Text(in_sentence_));
  text += fmt::format(
      R"("reported": {}, "false_share": {}, "below": {}, "expected_below": {}, )"
      R"("tokens": {}, "prompt_tokens": {}, "confirm_tokens": {}, )"
      R"("found_per_million": {}, )",
      Text(reported / responses_, responses_), Text(wrong_), Text(below_),
      Text(expected_below_ / covered_.all, covered_.all), Text(tokens_ / responses_, responses_),
      Text(prompt_tokens_ / responses_, responses_), Text(confirm_tokens_ / responses_, responses_),
      Text(1e6 * (reported - below_.hits) / tokens_, tokens_));
  text += fmt::format(
      R"("coverage_delta": {}, "coverage_p": {}, "coverage_p0": {}, "coverage_alternatives": {}, )"
      R"("error_p0": {}, "inward_p0": {}, "mse_p": {}, )",
      Text(covered_), Text(p_covered_), Text(p0_covered_), Text(aside_covered_),
      Text(p0_error_ / p0_covered_.all, p0_covered_.all),
      Text(p0_inward_ / p0_covered_.all, p0_covered_.all),
      square_errors_ > 0 ? fmt::format("{:.6f}", square_error_ / square_errors_) : "null");
  text += fmt::format(R"("pairs": {:.0f}, "true_pairs_per_million": {}, "pairs_below": {}, )"
                      R"("pairs_wrong": {}, "calibration": [{}])",
                      pairs, Text(1e6 * (pairs - pairs_below_.hits) / tokens_, tokens_),
                      Text(pairs_below_), Text(pairs_wrong_), CalibrationJson());
  return text;
}

}  // namespace pivotal::bench
