// Apache-2.0.
#include "experiments/report/report_answers.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include "experiments/report/report_numbers.h"
#include "pts/estimate.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

// The page stays small: it shows the most frequent answers and the most probable tokens.
constexpr std::size_t kAnswersShown = 4, kTokensShown = 6, kGroupsShown = 6;
constexpr std::size_t kAnswerBytes = 40;

}  // namespace

ReportAnswers::ReportAnswers(const QueryTrace& query, const AnswersOfRun& answers, double gap,
                             double z, const Tokenizer& tokenizer)
    : query_(query), z_(z), tokenizer_(tokenizer) {
  if (query.rollouts.empty() || query.responses.empty()) return;
  table_ = answers.Read(query);
  strata_.emplace(query, table_, gap);
  stated_ = answers.ReadsAnswers();
}

ordered_json ReportAnswers::Names() const {
  if (!stated_) return nullptr;
  ordered_json names = ordered_json::array();
  for (const pts::Answer& answer : table_.answers) {
    ordered_json text = Beginning(answer.text, kAnswerBytes);
    if (answer.kind == pts::AnswerKind::kOther) text = nullptr;
    names.push_back({{"text", std::move(text)}, {"right", answer.right}});
  }
  return names;
}

// Returns [answer, percent, answer, percent, ...], most frequent first.
ordered_json ReportAnswers::Shares(const std::vector<double>& weights) const {
  const double sum = pts::SumOf(weights);
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t a) { return weights[a]; });
  order.resize(std::min(order.size(), kAnswersShown));
  ordered_json shares = ordered_json::array();
  for (const std::size_t a : order) {
    const int64_t percent = sum > 0 ? std::llround(100 * weights[a] / sum) : 0;
    if (percent > 0) shares.insert(shares.end(), {ordered_json(a), ordered_json(percent)});
  }
  return shares;
}

ordered_json ReportAnswers::Along(int32_t response) const {
  if (!stated_) return nullptr;
  ordered_json along = ordered_json::array(), last;
  for (const int32_t node : strata_->trie().Path(response)) {
    ordered_json shares = Shares(strata_->Value(node).Mean());
    along.push_back(shares == last ? ordered_json() : shares);
    last = std::move(shares);
  }
  return along;
}

ordered_json ReportAnswers::Described(const pts::AnswerEstimate& estimate) const {
  const pts::Interval bounds = estimate.Of(0).Bounds(z_);
  return {{"p", Short(estimate.Mean()[0])},
          {"low", Short(std::max(0.0, bounds.low))},
          {"high", Short(std::min(1.0, bounds.high))}};
}

ordered_json ReportAnswers::Described(const pts::AnswerGroup& group) const {
  ordered_json tokens = ordered_json::array();
  for (std::size_t i = 0; i < std::min(group.tokens.size(), kTokensShown); ++i) {
    const TokenId token = group.tokens[i].token;
    tokens.push_back(token == pts::kRareTokens ? ordered_json()
                                               : ordered_json(tokenizer_.Piece(token)));
  }
  const double rollouts = pts::SumOf(group.counts);
  ordered_json described = {
      {"tokens", std::move(tokens)},
      {"more", group.tokens.size() - std::min(group.tokens.size(), kTokensShown)},
      {"probability", Short(group.probability)},
      {"rollouts", std::llround(rollouts)},
      {"p", nullptr}};
  if (rollouts > 0) {
    const pts::Interval bounds = group.Bounds(z_);
    described["p"] = Short(group.counts[0] / rollouts);
    described["low"] = Short(bounds.low);
    described["high"] = Short(bounds.high);
  }
  if (stated_) described["answers"] = Shares(group.counts);
  return described;
}

void ReportAnswers::AddForks(int32_t response, int32_t position, ordered_json& entry) const {
  if (!strata_) return;
  const int32_t node = strata_->trie().Path(response)[static_cast<std::size_t>(position)];
  const pts::AnswerForks forks = GroupAlternatives(query_, table_, *strata_, node);
  entry["q"] = nullptr;
  entry["q_other"] = nullptr;
  if (!forks.without.terms.empty()) entry["q"] = Described(forks.without);
  if (forks.HasParaphrases() && forks.other_probability > 0)
    entry["q_other"] = Described(forks.other);
  ordered_json groups = ordered_json::array();
  for (std::size_t i = 0; i < std::min(forks.groups.size(), kGroupsShown); ++i)
    groups.push_back(Described(forks.groups[i]));
  entry["groups"] = std::move(groups);
}

}  // namespace pivotal::experiments
