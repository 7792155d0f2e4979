// Apache-2.0.
#include "pts/pair_builder.h"

#include <algorithm>
#include <cmath>
#include <fmt/ranges.h>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "data/error.h"
#include "kernels/philox.h"
#include "pts/estimator.h"

namespace pivotal::pts {
namespace {

// Prompt, chosen, rejected.
using PairKey = std::tuple<std::vector<TokenId>, std::vector<TokenId>, std::vector<TokenId>>;

PairKey KeyOf(const data::PreferencePair& pair) {
  return {pair.prompt_ids, pair.chosen_ids, pair.rejected_ids};
}

// Decoded text; the name of a control token, which decodes to nothing ("</s>").
std::string SideText(const data::Tokenizer& tokenizer, TokenId token) {
  std::string text = tokenizer.Decode({&token, 1});
  return text.empty() ? tokenizer.Piece(token) : text;
}

// Ids and texts of the pair that sets two tokens after P_{position-1} against each other.
data::PreferencePair PairAt(const data::QueryTrace& query, int32_t response, int32_t position,
                            TokenId chosen, TokenId rejected, const data::Tokenizer& tokenizer) {
  data::PreferencePair pair;
  pair.id = fmt::format("{}/{}/{}", query.id, response, position);
  pair.prompt_ids = data::PrefixOf(query, response, position - 1);
  pair.chosen_ids = {chosen};
  pair.rejected_ids = {rejected};
  pair.prompt = tokenizer.Decode(pair.prompt_ids, /*at_start=*/true);
  pair.chosen = SideText(tokenizer, chosen);
  pair.rejected = SideText(tokenizer, rejected);
  return pair;
}

// To four places: the log-probabilities behind an estimate differ in their last bits from batch to
// batch, and no sample tells more.
double Rounded(double value) { return std::round(value * 1e4) / 1e4; }

// With its 95% interval.
data::SideEstimate SideOf(Estimate estimate) {
  const Interval bounds = WilsonInterval(estimate);
  return {estimate.samples, estimate.successes, Rounded(bounds.low), Rounded(bounds.high)};
}

// The pair that a pivotal token gives.
data::PreferencePair PairOf(const data::QueryTrace& query, int32_t response, const data::PivotalToken& token,
                            const data::Tokenizer& tokenizer) {
  auto pair = PairAt(query, response, token.position, token.chosen, token.rejected, tokenizer);
  pair.chosen_estimate = SideOf({token.chosen_samples, token.chosen_successes});
  pair.rejected_estimate = SideOf({token.rejected_samples, token.rejected_successes});
  pair.delta = Rounded(token.after - token.before);
  pair.delta_low = Rounded(token.low);
  pair.delta_high = Rounded(token.high);
  return pair;
}

// A place in the traces at which a control pair may stand.
struct Place {
  std::size_t query;
  int32_t response, position;
  auto operator<=>(const Place&) const = default;
};

std::vector<Place> AllPlaces(std::span<const data::QueryTrace> queries) {
  std::vector<Place> places;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    if (!queries[q].searched) continue;
    for (std::size_t r = 0; r < queries[q].responses.size(); ++r) {
      const auto n = static_cast<int32_t>(queries[q].responses[r].tokens.size());
      for (int32_t k = 1; k <= n; ++k) places.push_back({q, static_cast<int32_t>(r), k});
    }
  }
  return places;
}

// Scores of whole responses, one forward pass each, when first asked for.
class ScoreTable {
 public:
  explicit ScoreTable(model::Policy& policy) : policy_(policy) {}

  const model::TokenScore& At(std::span<const data::QueryTrace> queries, const Place& place) {
    auto& scores = scores_[{place.query, place.response}];
    if (scores.empty()) {
      const data::QueryTrace& query = queries[place.query];
      const auto& tokens = query.responses[place.response].tokens;
      scores = policy_.Score(query.prompt, tokens);
      if (scores.size() != tokens.size())
        Fail("control pairs: the policy scored {} of {} tokens", scores.size(), tokens.size());
    }
    return scores[place.position - 1];
  }

 private:
  model::Policy& policy_;
  std::map<std::pair<std::size_t, int32_t>, std::vector<model::TokenScore>> scores_;
};

constexpr std::pair<ControlKind, std::string_view> kControls[] = {{ControlKind::kRandom, "random"},
                                                                  {ControlKind::kEntropy, "entropy"},
                                                                  {ControlKind::kLowProbability, "low-probability"}};

std::string NameOf(ControlKind kind) { return std::string(kControls[static_cast<std::size_t>(kind)].second); }

}  // namespace

std::vector<data::PreferencePair> BuildPairs(std::span<const data::QueryTrace> queries,
                                             const data::Tokenizer& tokenizer,
                                             const PairOptions& options) {
  options.Validate();
  std::vector<data::PreferencePair> pairs;
  for (const data::QueryTrace& query : queries) {
    const auto reasons = WhyNoPairs(query, options);
    for (std::size_t r = 0; r < query.responses.size(); ++r) {
      const auto& pivotal = query.responses[r].pivotal;
      for (std::size_t i = 0; i < pivotal.size(); ++i)
        if (reasons[r][i] == NoPair::kNone) pairs.push_back(PairOf(query, static_cast<int32_t>(r), pivotal[i], tokenizer));
    }
  }
  return pairs;
}

std::vector<std::string> ControlNames() {
  std::vector<std::string> names;
  for (const auto& [kind, name] : kControls) names.emplace_back(name);
  return names;
}

ControlKind ParseControl(const std::string& name) {
  for (const auto& [kind, known] : kControls)
    if (name == known) return kind;
  Fail("pairs of \"{}\" are unknown: take one of {}", name, fmt::join(ControlNames(), ", "));
}

std::vector<data::PreferencePair> BuildControlPairs(std::span<const data::QueryTrace> queries,
                                                    const data::Tokenizer& tokenizer, model::Policy& policy,
                                                    ControlKind kind, int32_t count, uint64_t seed) {
  if (count < 0) Fail("control pairs: count is {}, must be 0 or larger", count);
  std::vector<Place> places = AllPlaces(queries);
  ScoreTable scores(policy);
  if (kind != ControlKind::kRandom) {
    std::vector<std::pair<double, Place>> order;
    for (const Place& place : count > 0 ? places : std::vector<Place>()) {
      const model::TokenScore& score = scores.At(queries, place);
      order.emplace_back(kind == ControlKind::kEntropy ? -score.entropy : score.logprob, place);
    }
    std::ranges::stable_sort(order, {}, [](const auto& item) { return item.first; });
    std::ranges::transform(order, places.begin(), [](const auto& item) { return item.second; });
  }
  kernels::RandomStream random(seed, kernels::MixStream(0, "random pairs"));
  std::map<Place, data::PreferencePair> pairs;
  std::set<std::pair<std::size_t, PairKey>> written;
  for (std::size_t i = 0; i < places.size() && static_cast<int32_t>(pairs.size()) < count; ++i) {
    // Draws without replacement: the first i places are used up (Fisher-Yates).
    if (kind == ControlKind::kRandom)
      std::swap(places[i], places[i + random.Below(static_cast<int64_t>(places.size() - i))]);
    const Place& place = places[i];
    const model::TokenScore& score = scores.At(queries, place);
    if (score.runner_up < 0 || std::isinf(score.runner_up_logprob)) continue;
    const data::QueryTrace& query = queries[place.query];
    const data::ResponseTrace& response = query.responses[place.response];
    TokenId chosen = response.tokens[place.position - 1], rejected = score.runner_up;
    if (!response.success) std::swap(chosen, rejected);
    auto pair = PairAt(query, place.response, place.position, chosen, rejected, tokenizer);
    pair.source = NameOf(kind);
    if (written.emplace(place.query, KeyOf(pair)).second) pairs.emplace(place, std::move(pair));
  }
  std::vector<data::PreferencePair> ordered;
  for (auto& [place, pair] : pairs) ordered.push_back(std::move(pair));
  return ordered;
}

}  // namespace pivotal::pts
