// Apache-2.0.
#include "pts/pair_builder.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "pts/estimate.h"

namespace pivotal::pts {
namespace {

// Identifies a pair within a query: response tokens before it, chosen, rejected.
using TokenPairKey = std::tuple<std::vector<TokenId>, TokenId, TokenId>;

TokenPairKey TokenKeyOf(const ResponseTrace& response, const PivotalToken& token) {
  const auto begin = response.tokens.begin();
  return {{begin, begin + token.position - 1}, token.chosen, token.rejected};
}

// Returns the success rate of chosen minus that of rejected on fresh rollouts.
double FreshDifference(const PivotalToken& token) {
  return Estimate{token.chosen_samples, token.chosen_successes}.Mean() -
         Estimate{token.rejected_samples, token.rejected_successes}.Mean();
}

// Returns true if the one-sided interval of that difference lies above 0 (Newcombe, Statistics in
// Medicine 1998, method 10). A confidence of 0 asks for nothing.
bool IsApart(const PivotalToken& token, double confidence) {
  if (confidence == 0) return true;
  if (token.sequential) return token.evidence >= 1 / (1 - confidence);
  LinearEstimate difference;
  difference.terms = {{1, {token.chosen_samples, token.chosen_successes}},
                      {-1, {token.rejected_samples, token.rejected_successes}}};
  return difference.Bounds(NormalQuantile(confidence)).low > 0;
}

double Delta(const PivotalToken& token) { return std::abs(token.after - token.before); }

// Identifies a pair: prompt, chosen, rejected.
using PairKey = std::tuple<std::vector<TokenId>, std::vector<TokenId>, std::vector<TokenId>>;

PairKey KeyOf(const PreferencePair& pair) {
  return {pair.prompt_ids, pair.chosen_ids, pair.rejected_ids};
}

// Returns the decoded text of a token, or its name if it decodes to nothing ("</s>").
std::string SideText(const Tokenizer& tokenizer, TokenId token) {
  std::string text = tokenizer.Decode({&token, 1});
  return text.empty() ? tokenizer.Piece(token) : text;
}

// Returns ids and texts of the pair that sets two tokens after P_(position-1) against each other.
PreferencePair PairAt(const QueryTrace& query, int32_t response, int32_t position, TokenId chosen,
                      TokenId rejected, const Tokenizer& tokenizer) {
  PreferencePair pair;
  pair.id = fmt::format("{}/{}/{}", query.id, response, position);
  pair.prompt_ids = PrefixOf(query, response, position - 1);
  pair.chosen_ids = {chosen};
  pair.rejected_ids = {rejected};
  pair.prompt = tokenizer.Decode(pair.prompt_ids, /*at_start=*/true);
  pair.chosen = SideText(tokenizer, chosen);
  pair.rejected = SideText(tokenizer, rejected);
  return pair;
}

// Rounds to four digits after the point: the log-probabilities behind an estimate differ in their
// last bits from batch to batch, and no sample tells more.
double Rounded(double value) { return std::round(value * 1e4) / 1e4; }

// Adds the 95% interval to an estimate.
SideEstimate SideOf(Estimate estimate) {
  const Interval bounds = WilsonInterval(estimate);
  return {estimate.samples, estimate.successes, Rounded(bounds.low), Rounded(bounds.high)};
}

// Returns the pair that a pivotal token gives.
PreferencePair PairOf(const QueryTrace& query, int32_t response, const PivotalToken& token,
                      const Tokenizer& tokenizer) {
  auto pair = PairAt(query, response, token.position, token.chosen, token.rejected, tokenizer);
  pair.chosen_estimate = SideOf({token.chosen_samples, token.chosen_successes});
  pair.rejected_estimate = SideOf({token.rejected_samples, token.rejected_successes});
  pair.delta = Rounded(token.after - token.before);
  pair.delta_low = Rounded(token.low);
  pair.delta_high = Rounded(token.high);
  return pair;
}

// Returns the number of candidate pairs with fresh rollouts in a query, each once. A pair that two
// siblings proposed with different guesses has two e-values, either of which may be the one that
// passes: it counts twice.
int64_t CandidatesIn(const QueryTrace& query) {
  std::set<std::pair<TokenPairKey, double>> candidates;
  for (const ResponseTrace& response : query.responses)
    for (const PivotalToken& token : response.pivotal)
      if (token.chosen >= 0 && token.chosen_samples > 0 && token.rejected_samples > 0)
        candidates.emplace(TokenKeyOf(response, token), token.evidence);
  return std::ssize(candidates);
}

// A token that gives a pair.
struct PairToken {
  const QueryTrace* query;
  int32_t response;
  const PivotalToken* token;
};

// The tokens that give pairs, and the number of candidates that they are of.
struct PairTokens {
  std::vector<PairToken> tokens;
  int64_t candidates = 0;
};

// Returns the tokens that give pairs, whatever max_false_share is.
PairTokens AllPairTokens(std::span<const QueryTrace> queries, const PairOptions& options) {
  PairTokens pairs;
  for (const QueryTrace& query : queries) {
    pairs.candidates += CandidatesIn(query);
    const auto reasons = WhyNoPairs(query, options);
    for (std::size_t r = 0; r < query.responses.size(); ++r)
      for (std::size_t i = 0; i < reasons[r].size(); ++i)
        if (reasons[r][i] == NoPair::kNone)
          pairs.tokens.push_back({&query, static_cast<int32_t>(r), &query.responses[r].pivotal[i]});
  }
  return pairs;
}

// Returns candidates / (pairs * least evidence): what k pairs are expected to hold of false ones at
// most, if all have at least that evidence (e-BH).
double ShareBound(int64_t candidates, std::size_t pairs, double evidence) {
  return static_cast<double>(candidates) / (static_cast<double>(pairs) * evidence);
}

// Returns the tokens that give pairs: those with least evidence are dropped until the bound on
// false ones is max_false_share.
PairTokens KeptPairTokens(std::span<const QueryTrace> queries, const PairOptions& options) {
  PairTokens pairs = AllPairTokens(queries, options);
  if (options.max_false_share == 1) return pairs;
  std::vector<double> evidence;
  for (const PairToken& pair : pairs.tokens) evidence.push_back(pair.token->evidence);
  std::ranges::sort(evidence, std::greater<>());
  while (!evidence.empty() && !(ShareBound(pairs.candidates, evidence.size(), evidence.back()) <=
                                options.max_false_share))
    evidence.pop_back();
  const double least = evidence.empty() ? INFINITY : evidence.back();
  std::erase_if(pairs.tokens, [&](const PairToken& pair) { return pair.token->evidence < least; });
  return pairs;
}

// A token of a searched response, at which a control pair may stand.
struct TokenPosition {
  std::size_t query;
  int32_t response, position;
  auto operator<=>(const TokenPosition&) const = default;
};

std::vector<TokenPosition> AllPositions(std::span<const QueryTrace> queries) {
  std::vector<TokenPosition> positions;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    if (!queries[q].searched) continue;
    for (std::size_t r = 0; r < queries[q].responses.size(); ++r) {
      const auto n = static_cast<int32_t>(queries[q].responses[r].tokens.size());
      for (int32_t k = 1; k <= n; ++k) positions.push_back({q, static_cast<int32_t>(r), k});
    }
  }
  return positions;
}

// Scores responses as a whole, one forward pass each, when a token of theirs is first asked for.
class ScoreTable {
 public:
  explicit ScoreTable(Policy& policy) : policy_(policy) {}

  const TokenScore& At(std::span<const QueryTrace> queries, const TokenPosition& at) {
    auto& scores = scores_[{at.query, at.response}];
    if (scores.empty()) {
      const QueryTrace& query = queries[at.query];
      const auto& tokens = query.responses[at.response].tokens;
      scores = policy_.Score(query.prompt, tokens);
      if (scores.size() != tokens.size())
        Fail("control pairs: the policy scored {} of {} tokens", scores.size(), tokens.size());
    }
    return scores[at.position - 1];
  }

 private:
  Policy& policy_;
  std::map<std::pair<std::size_t, int32_t>, std::vector<TokenScore>> scores_;
};

}  // namespace

NoPair WhyNoPair(const PivotalToken& token, const PairOptions& options) {
  if (token.chosen < 0 || token.rejected < 0) return NoPair::kNoOther;
  if (token.chosen_samples <= 0 || token.rejected_samples <= 0) return NoPair::kNotMeasured;
  if (!ReachesGap(Delta(token), options.min_delta)) return NoPair::kSmallDelta;
  if (!ReachesGap(FreshDifference(token), options.gap)) return NoPair::kSmallGap;
  return IsApart(token, options.min_confidence) ? NoPair::kNone : NoPair::kNotApart;
}

std::vector<std::vector<NoPair>> WhyNoPairs(const QueryTrace& query, const PairOptions& options) {
  std::vector<std::vector<NoPair>> reasons;
  std::set<TokenPairKey> taken;
  for (const ResponseTrace& response : query.responses) {
    std::vector<NoPair>& of_response = reasons.emplace_back();
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < response.pivotal.size(); ++i) {
      of_response.push_back(WhyNoPair(response.pivotal[i], options));
      if (of_response[i] == NoPair::kNone) order.push_back(i);
    }
    std::ranges::stable_sort(order, std::greater<>(),
                             [&](std::size_t i) { return FreshDifference(response.pivotal[i]); });
    int32_t pairs = 0;
    for (std::size_t i : order) {
      TokenPairKey key = TokenKeyOf(response, response.pivotal[i]);
      if (taken.contains(key)) {
        of_response[i] = NoPair::kRepeated;
      } else if (options.max_pairs_per_response > 0 && pairs == options.max_pairs_per_response) {
        of_response[i] = NoPair::kOverLimit;
      } else {
        taken.insert(std::move(key));
        ++pairs;
      }
    }
  }
  return reasons;
}

int64_t PairsIn(const QueryTrace& query) {
  int64_t pairs = 0;
  for (const auto& reasons : WhyNoPairs(query, {}))
    pairs += std::ranges::count(reasons, NoPair::kNone);
  return pairs;
}

std::string TextOf(NoPair reason, const PivotalToken& token, const PairOptions& options) {
  switch (reason) {
    case NoPair::kNone: break;
    case NoPair::kNoOther: return "rollouts met no other token";
    case NoPair::kNotMeasured: return "sides not measured on fresh rollouts";
    case NoPair::kSmallDelta:
      return fmt::format("p changes by {:.3g}, {:g} asked for", Delta(token), options.min_delta);
    case NoPair::kSmallGap:
      return fmt::format("sides differ by {:.3g} on fresh rollouts, {:g} asked for",
                         FreshDifference(token), options.gap);
    case NoPair::kNotApart:
      return fmt::format("not measurably apart ({:g}% one-sided)", 100 * options.min_confidence);
    case NoPair::kRepeated: return "an earlier response gives the same pair";
    case NoPair::kOverLimit:
      return fmt::format("its response gives {} of larger difference",
                         options.max_pairs_per_response);
  }
  return "";
}

}  // namespace pivotal::pts

namespace pivotal {
using namespace pts;

void PairOptions::Validate() const {
  if (!(gap > 0 && gap < 1)) Fail("pairs: gap is {}, must be in (0, 1)", gap);
  if (!(min_delta >= 0 && min_delta < 1))
    Fail("pairs: min_delta is {}, must be in [0, 1)", min_delta);
  if (!(min_confidence >= 0 && min_confidence < 1))
    Fail("pairs: min_confidence is {}, must be in [0, 1)", min_confidence);
  if (!(max_false_share > 0 && max_false_share <= 1))
    Fail("pairs: max_false_share is {}, must be in (0, 1]", max_false_share);
  if (max_pairs_per_response < 0)
    Fail("pairs: max_pairs_per_response is {}, must be 0 (no limit) or larger",
         max_pairs_per_response);
}

std::vector<PreferencePair> BuildPairs(std::span<const QueryTrace> queries,
                                       const Tokenizer& tokenizer, const PairOptions& options) {
  options.Validate();
  std::vector<PreferencePair> pairs;
  for (const PairToken& pair : KeptPairTokens(queries, options).tokens)
    pairs.push_back(PairOf(*pair.query, pair.response, *pair.token, tokenizer));
  return pairs;
}

std::optional<double> FalseShareBound(std::span<const QueryTrace> queries,
                                      const PairOptions& options) {
  const auto [tokens, candidates] = KeptPairTokens(queries, options);
  if (tokens.empty()) return std::nullopt;
  const auto least = std::ranges::min_element(
      tokens, {}, [](const PairToken& pair) { return pair.token->evidence; });
  if (!(least->token->evidence > 0)) return std::nullopt;
  return std::min(1.0, ShareBound(candidates, tokens.size(), least->token->evidence));
}

std::vector<PreferencePair> BuildControlPairs(std::span<const QueryTrace> queries,
                                              const Tokenizer& tokenizer, Policy& policy,
                                              ControlKind kind, int32_t count, uint64_t seed) {
  kControlNames.Name(kind);  // throws for a value that is none of the enum's
  if (count < 0) Fail("control pairs: count is {}, must be 0 or larger", count);
  std::vector<TokenPosition> positions = AllPositions(queries);
  ScoreTable scores(policy);
  if (kind != ControlKind::kRandom) {
    std::vector<std::pair<double, TokenPosition>> order;
    for (const TokenPosition& at : count > 0 ? positions : std::vector<TokenPosition>()) {
      const TokenScore& score = scores.At(queries, at);
      if (kind == ControlKind::kEntropy && std::isnan(score.entropy))
        Fail("control pairs by entropy need a policy that tells it; servers do not");
      order.emplace_back(kind == ControlKind::kEntropy ? -score.entropy : score.logprob, at);
    }
    std::ranges::stable_sort(order, {}, [](const auto& item) { return item.first; });
    std::ranges::transform(order, positions.begin(), [](const auto& item) { return item.second; });
  }
  kernels::RandomStream random(seed, kernels::MixStream(0, "random pairs"));
  std::map<TokenPosition, PreferencePair> pairs;
  std::set<std::pair<std::size_t, PairKey>> written;
  for (std::size_t i = 0; i < positions.size() && static_cast<int32_t>(pairs.size()) < count; ++i) {
    if (kind == ControlKind::kRandom) kernels::ShuffleStep(positions, i, random);
    const TokenPosition& at = positions[i];
    const TokenScore& score = scores.At(queries, at);
    if (score.runner_up < 0 || std::isinf(score.runner_up_logprob)) continue;
    const QueryTrace& query = queries[at.query];
    const ResponseTrace& response = query.responses[at.response];
    TokenId chosen = response.tokens[at.position - 1], rejected = score.runner_up;
    if (!response.success) std::swap(chosen, rejected);
    auto pair = PairAt(query, at.response, at.position, chosen, rejected, tokenizer);
    pair.source = std::string(kControlNames.Name(kind));
    if (written.emplace(at.query, KeyOf(pair)).second) pairs.emplace(at, std::move(pair));
  }
  std::vector<PreferencePair> ordered;
  for (auto& [at, pair] : pairs) ordered.push_back(std::move(pair));
  return ordered;
}

}  // namespace pivotal
