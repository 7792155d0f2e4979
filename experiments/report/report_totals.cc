// Apache-2.0.
#include "experiments/report/report_totals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "experiments/report/report_numbers.h"

namespace pivotal::experiments {

using nlohmann::ordered_json;

void ReportTotals::Add(const QueryTrace& query, const NoPairTexts& no_pairs) {
  ++problems_;
  searched_ += query.searched;
  seconds_ += query.seconds;
  prefilled_ += query.prefilled_tokens;
  rollouts_ += std::ssize(query.rollouts);
  for (const RolloutTrace& rollout : query.rollouts) generated_ += std::ssize(rollout.tokens);
  for (const ResponseTrace& response : query.responses) Add(response);
  for (const auto& texts : no_pairs) pairs_ += std::ranges::count(texts, std::string());
}

void ReportTotals::Add(const ResponseTrace& response) {
  ++responses_;
  right_ += response.success;
  tokens_ += std::ssize(response.tokens);
  for (std::size_t i = 1; i < response.estimates.size(); ++i) {
    const PrefixEstimate &before = response.estimates[i - 1], &after = response.estimates[i];
    if (after.position != before.position + 1) continue;
    const int bin = static_cast<int>((after.mean - before.mean + 1) / 2 * kBins);
    ++deltas_[static_cast<std::size_t>(std::clamp(bin, 0, kBins - 1))];
  }
  for (const PivotalToken& token : response.pivotal) {
    ++pivotal_;
    expected_false_ += 1 - token.probability;
    const bool chosen = token.chosen == response.tokens[token.position - 1];
    const pts::Estimate fresh =
        chosen ? pts::Estimate{token.chosen_samples, token.chosen_successes}
               : pts::Estimate{token.rejected_samples, token.rejected_successes};
    if (fresh.samples == 0) continue;
    const int bin =
        std::clamp(static_cast<int>(token.after * kCalibrationBins), 0, kCalibrationBins - 1);
    Bin& at = calibration_[static_cast<std::size_t>(bin)];
    ++at.count;
    at.expected += token.after;
    at.fresh += fresh;
  }
}

ordered_json ReportTotals::Facts() const {
  ordered_json facts = ordered_json::array();
  const auto add = [&](const char* name, const ordered_json& value, const std::string& detail) {
    facts.push_back({name, value, detail});
  };
  const auto percent = [](double part, int64_t whole, int digits) {
    return whole > 0 ? fmt::format("{:.{}f}%", 100 * part / static_cast<double>(whole), digits)
                     : std::string("\u2013");
  };
  add("problems", problems_, Grouped(searched_) + " searched");
  add("responses", responses_, Grouped(right_) + " right");
  add("pivotal tokens", pivotal_,
      percent(static_cast<double>(pivotal_), tokens_, 2) + " of all tokens");
  add("expected false", percent(expected_false_, pivotal_, 1), "of the pivotal tokens");
  add("pairs", pairs_,
      percent(static_cast<double>(pairs_), pivotal_, 0) + " of the pivotal tokens");
  add("rollouts", rollouts_,
      rollouts_ > 0 ? fmt::format("{:.0f} tokens each",
                                  static_cast<double>(generated_) / static_cast<double>(rollouts_))
                    : std::string("none stored"));
  add("generated tokens", generated_, Grouped(prefilled_) + " prefix tokens");
  if (seconds_ > 0)
    add("time", fmt::format("{:.{}f} s", seconds_, seconds_ < 100 ? 1 : 0),
        Grouped(std::llround(static_cast<double>(generated_) / seconds_)) + " a second");
  else
    add("time", "\u2013", "not measured");
  return facts;
}

ordered_json ReportTotals::Histogram() const {
  ordered_json edges = ordered_json::array();
  for (int i = 0; i <= kBins; ++i) edges.push_back(Short(-1 + 2.0 * i / kBins));
  return {{"edges", edges}, {"counts", deltas_}};
}

ordered_json ReportTotals::PivotalTokens() const {
  return {{"tokens", tokens_}, {"pivotal", pivotal_}};
}

ordered_json ReportTotals::Calibration() const {
  ordered_json bins = ordered_json::array();
  for (const auto& [count, expected, fresh] : calibration_) {
    if (count == 0) continue;
    const pts::Interval bounds = pts::WilsonInterval(fresh);
    bins.push_back({{"expected", Short(expected / count)},
                    {"observed", Short(fresh.Mean())},
                    {"low", Short(bounds.low)},
                    {"high", Short(bounds.high)},
                    {"count", fresh.samples}});
  }
  return bins;
}

}  // namespace pivotal::experiments
