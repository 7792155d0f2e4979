// Apache-2.0.
#include <algorithm>
#include <set>
#include <utility>

#include "data/base/error.h"
#include "data/base/parallel.h"
#include "kernels/philox.h"
#include "pivotal/pairs.h"
#include "pts/turns.h"

namespace pivotal::pts {
namespace {

using kernels::Shuffle;
using Tokens = std::vector<TokenId>;

void CheckCount(const ResponsePairOptions& options) {
  if (options.count < 0)
    Fail("pairs of responses: count is {}, must be 0 or larger", options.count);
}

// Returns the rollouts from a query's prompt without repetitions, in the order drawn.
std::vector<const RolloutTrace*> Different(const QueryTrace& query) {
  std::vector<const RolloutTrace*> rollouts;
  std::set<Tokens> seen;
  for (const RolloutTrace& rollout : query.rollouts)
    if (rollout.kind == RolloutKind::kQuery && seen.insert(rollout.tokens).second)
      rollouts.push_back(&rollout);
  return rollouts;
}

// The sides of a query's pairs, the best pair first: chosen[i] stands against rejected[i].
struct Sides {
  std::vector<const Tokens*> chosen, rejected;
};

// Returns the different rollouts by verdict, each side shuffled. The sides may differ in length.
Sides ByVerdict(const QueryTrace& query, uint64_t seed) {
  Sides sides;
  for (const RolloutTrace* rollout : Different(query))
    (rollout->success ? sides.chosen : sides.rejected).push_back(&rollout->tokens);
  kernels::RandomStream random(seed,
                               kernels::MixStream(kernels::MixStream(0, "full pairs"), query.id));
  Shuffle(sides.chosen, random);
  Shuffle(sides.rejected, random);
  return sides;
}

PreferencePair PairOf(const QueryTrace& query, const std::string& source, std::size_t number,
                      const Tokens& chosen, const Tokens& rejected, const Tokenizer& tokenizer) {
  PreferencePair pair;
  pair.id = fmt::format("{}/{}/{}", query.id, source, number);
  pair.source = source;
  pair.prompt_ids = query.prompt;
  pair.chosen_ids = chosen;
  pair.rejected_ids = rejected;
  pair.prompt = tokenizer.Decode(pair.prompt_ids, /*at_start=*/true);
  pair.chosen = tokenizer.Decode(pair.chosen_ids);
  pair.rejected = tokenizer.Decode(pair.rejected_ids);
  return pair;
}

std::vector<PreferencePair> PairsInTurns(std::span<const QueryTrace> queries,
                                         const std::vector<Sides>& sides, const std::string& source,
                                         int32_t count, const Tokenizer& tokenizer) {
  std::vector<std::size_t> sizes;
  for (const Sides& of : sides) sizes.push_back(std::min(of.chosen.size(), of.rejected.size()));
  return InTurns(sizes, count, [&](std::size_t q, std::size_t turn) {
    return PairOf(queries[q], source, turn, *sides[q].chosen[turn], *sides[q].rejected[turn],
                  tokenizer);
  });
}

struct Scored {
  const QueryTrace* query = nullptr;
  const RolloutTrace* rollout = nullptr;
  std::optional<double> score;
};

void ScoreAll(std::vector<Scored>& all, const ResponseScore& score, int32_t threads) {
  data::ParallelFor(all.size(), threads, [&](std::size_t i) {
    all[i].score = score(*all[i].query, all[i].rollout->tokens);
  });
}

// Sets the best rollout against the worst, and so on while their scores are `margin` apart.
// Rollouts of equal score keep their order.
Sides ByScore(std::span<const Scored> scored, double margin) {
  std::vector<const Scored*> order;
  for (const Scored& each : scored)
    if (each.score) order.push_back(&each);
  std::ranges::stable_sort(order,
                           [](const Scored* a, const Scored* b) { return *a->score > *b->score; });
  Sides sides;
  for (std::size_t i = 0; 2 * i + 1 < order.size(); ++i) {
    const Scored *best = order[i], *worst = order[order.size() - 1 - i];
    if (*best->score - *worst->score < margin) break;
    sides.chosen.push_back(&best->rollout->tokens);
    sides.rejected.push_back(&worst->rollout->tokens);
  }
  return sides;
}

// Encodes `text` as it would follow a line break, so that SentencePiece adds no blank in front.
Tokens Encoded(const Tokenizer& tokenizer, const std::string& text) {
  Tokens ids = tokenizer.Encode("\n" + text);
  const Tokens line = tokenizer.Encode("\n");
  if (ids.size() <= line.size() || !std::equal(line.begin(), line.end(), ids.begin()))
    return tokenizer.Encode(text);
  ids.erase(ids.begin(), ids.begin() + std::ssize(line));
  return ids;
}

// Returns the token that ends the query's rollouts, or else the tokenizer's end of sequence.
TokenId EndOf(const QueryTrace& query, const Tokenizer& tokenizer) {
  for (const RolloutTrace& rollout : query.rollouts)
    if (rollout.finish == FinishReason::kEos && !rollout.tokens.empty())
      return rollout.tokens.back();
  return tokenizer.eos();
}

}  // namespace

}  // namespace pivotal::pts

namespace pivotal {
using namespace pts;

std::vector<PreferencePair> BuildFullPairs(std::span<const QueryTrace> queries,
                                           const Tokenizer& tokenizer,
                                           const ResponsePairOptions& options) {
  CheckCount(options);
  std::vector<Sides> sides;
  for (const QueryTrace& query : queries)
    sides.push_back(query.searched ? ByVerdict(query, options.seed) : Sides{});
  return PairsInTurns(queries, sides, "full", options.count, tokenizer);
}

std::vector<PreferencePair> BuildJudgedPairs(std::span<const QueryTrace> queries,
                                             const Tokenizer& tokenizer, const ResponseScore& score,
                                             const JudgedPairOptions& options) {
  CheckCount(options);
  if (options.responses < 2)
    Fail("judged pairs: responses is {}, must be 2 or larger", options.responses);
  if (!(options.margin > 0))
    Fail("judged pairs: margin is {}, must be larger than 0", options.margin);
  if (options.threads < 1)
    Fail("judged pairs: threads is {}, must be 1 or larger", options.threads);
  std::vector<Scored> all;
  std::vector<std::size_t> first;
  for (const QueryTrace& query : queries) {
    first.push_back(all.size());
    auto rollouts = Different(query);
    kernels::RandomStream random(
        options.seed, kernels::MixStream(kernels::MixStream(0, "judged pairs"), query.id));
    Shuffle(rollouts, random);
    if (std::ssize(rollouts) > options.responses)
      rollouts.resize(static_cast<std::size_t>(options.responses));
    for (const RolloutTrace* rollout : rollouts) all.push_back({&query, rollout, std::nullopt});
  }
  first.push_back(all.size());
  ScoreAll(all, score, options.threads);
  std::vector<Sides> sides;
  for (std::size_t q = 0; q < queries.size(); ++q)
    sides.push_back(
        ByScore(std::span(all).subspan(first[q], first[q + 1] - first[q]), options.margin));
  return PairsInTurns(queries, sides, "judged", options.count, tokenizer);
}

std::vector<PreferencePair> BuildRefusalPairs(std::span<const QueryTrace> queries,
                                              const Tokenizer& tokenizer,
                                              const std::string& refusal,
                                              const ResponsePairOptions& options) {
  CheckCount(options);
  const Tokens text = Encoded(tokenizer, refusal);
  if (text.empty()) Fail("refusal pairs: the refusal \"{}\" has no tokens", refusal);
  std::vector<PreferencePair> known, unknown;
  for (const QueryTrace& query : queries) {
    Tokens refused = text;
    if (const TokenId end = EndOf(query, tokenizer); end >= 0) refused.push_back(end);
    const Sides sides = ByVerdict(query, options.seed);
    if (!sides.chosen.empty()) {
      known.push_back(PairOf(query, "refusal", 0, *sides.chosen.front(), refused, tokenizer));
    } else if (const auto made_up = std::ranges::find_if(
                   sides.rejected, [&](const Tokens* r) { return *r != refused; });
               made_up != sides.rejected.end()) {  // finds a rollout that is not the refusal itself
      unknown.push_back(PairOf(query, "refusal", 0, refused, **made_up, tokenizer));
    }
  }
  kernels::RandomStream random(options.seed, kernels::MixStream(0, "refusal pairs"));
  Shuffle(known, random);
  Shuffle(unknown, random);
  std::vector<PreferencePair> pairs;
  for (std::size_t i = 0; i < std::max(known.size(), unknown.size()); ++i)
    for (auto* kind : {&unknown, &known})
      if (i < kind->size() && (options.count == 0 || std::ssize(pairs) < options.count))
        pairs.push_back(std::move((*kind)[i]));
  return pairs;
}

}  // namespace pivotal
