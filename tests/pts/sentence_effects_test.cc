// Apache-2.0. Tests shares of completions and effects of sentences against worlds in which they
// follow exactly: every token is a sentence there, and what follows a token depends on it alone.
#include "pts/sentence_effects.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "pts/answers.h"
#include "tests/pts/answer_world.h"

namespace pivotal::pts {
namespace {

using testing::Move;
using testing::TableWorld;

constexpr double kGap = 0.2, kZ = 1.96;

std::vector<CompletionSentences> TokensAsSentences(const QueryTrace& trace) {
  std::vector<CompletionSentences> all;
  const auto add = [&](const std::vector<TokenId>& tokens) {
    CompletionSentences& of = all.emplace_back();
    for (std::size_t k = 0; k < tokens.size(); ++k) {
      of.ends.push_back(static_cast<int32_t>(k) + 1);
      of.says.push_back(tokens[k]);
    }
  };
  for (const ResponseTrace& response : trace.responses) add(response.tokens);
  for (const RolloutTrace& rollout : trace.rollouts) add(ResponseOf(trace, rollout));
  return all;
}

// Returns the probability that `token` comes after `last`, by recursion over the world's moves.
double Comes(const TableWorld& world, TokenId last, TokenId token,
             std::map<TokenId, double>& known) {
  if (last >= token || world.IsEnd(last)) return 0;
  const auto at = known.find(last);
  if (at != known.end()) return at->second;
  double sum = 0;
  for (const Move& move : world.Moves(last))
    sum += move.probability * (move.token == token ? 1 : Comes(world, move.token, token, known));
  return known[last] = sum;
}

// Returns the mean of `value` over the tokens that may follow `last` in place of `token`.
template <typename Value>
double Instead(const TableWorld& world, TokenId last, TokenId token, Value&& value) {
  double sum = 0, all = 0;
  for (const Move& move : world.Moves(last)) {
    if (move.token == token) continue;
    all += move.probability;
    sum += move.probability * value(move.token);
  }
  return sum / all;
}

// How estimates compare with the truth.
struct Score {
  int told = 0, outside = 0;
  double error = 0, bias = 0;
  void Add(double truth, double estimate, double low, double high) {
    ++told;
    error += std::abs(estimate - truth);
    bias += estimate - truth;
    outside += truth < low - 1e-9 || truth > high + 1e-9;
  }
};

TEST(SentenceEffects, AreThoseOfTheWorld) {
  Score success, on, with, resilience;
  const auto same = [](int32_t a, int32_t b) { return a == b; };
  for (const AnswerSearch& search : SearchAnswerWorlds(12)) {
    const TableWorld& world = search.world.world();
    for (const QueryTrace& trace : search.traces) {
      const CompletionShares shares(trace, kGap);
      const auto sentences = TokensAsSentences(trace);
      ASSERT_EQ(static_cast<int32_t>(sentences.size()), shares.size());
      for (int32_t r = 0; r < std::ssize(trace.responses); ++r) {
        const auto& tokens = trace.responses[r].tokens;
        const auto effects = SentenceEffects(shares, r, sentences, same, kZ);
        ASSERT_EQ(effects.size(), tokens.size());
        for (std::size_t a = 0; a < tokens.size(); ++a) {
          const SentenceEffect& effect = effects[a];
          const TokenId last = a == 0 ? 0 : tokens[a - 1];
          if (effect.success) {
            const double truth =
                Instead(world, last, tokens[a], [&](TokenId t) { return world.Success(t); });
            success.Add(world.Success(tokens[a]) - truth, effect.success->change,
                        effect.success->low, effect.success->high);
          }
          // Tokens ascend, so that none comes back.
          if (effect.resilience)
            resilience.Add(0, effect.resilience->share, effect.resilience->low,
                           effect.resilience->high);
          for (std::size_t b = 0; b < tokens.size(); ++b) {
            if (!effect.on[b]) continue;
            ASSERT_GT(b, a);
            std::map<TokenId, double> known;
            const double present = Comes(world, tokens[a], tokens[b], known);
            const double absent = Instead(world, last, tokens[a], [&](TokenId t) {
              return t == tokens[b] ? 0 : Comes(world, t, tokens[b], known);
            });
            on.Add(present - absent, effect.on[b]->change, effect.on[b]->low, effect.on[b]->high);
            with.Add(present, effect.on[b]->with.share, effect.on[b]->with.low,
                     effect.on[b]->with.high);
          }
        }
      }
    }
  }
  EXPECT_GT(success.told, 50);
  EXPECT_LT(success.error / success.told, 0.13);  // a share of eight rollouts is off by as much
  EXPECT_LT(std::abs(success.bias / success.told), 0.05);
  EXPECT_LE(success.outside, success.told / 10);
  EXPECT_GT(on.told, 2000);
  EXPECT_LT(on.error / on.told, 0.16);
  EXPECT_LT(std::abs(on.bias / on.told), 0.05);
  EXPECT_LE(on.outside, on.told / 8);
  EXPECT_LE(with.outside, with.told / 8);
  EXPECT_GT(resilience.told, 50);
  EXPECT_EQ(resilience.outside, 0);
  EXPECT_EQ(resilience.error, 0);
}

// A query whose response is 1 2 3, with rollouts that leave it after `begin` tokens.
QueryTrace Left(const std::vector<std::vector<TokenId>>& rollouts, int32_t begin) {
  QueryTrace trace;
  ResponseTrace response;
  response.tokens = {1, 2, 3};
  response.logprobs.assign(3, std::log(0.5f));
  response.success = true;
  trace.responses = {response};
  for (const auto& tokens : rollouts) {
    RolloutTrace rollout;
    rollout.kind = RolloutKind::kPrefix;
    rollout.response = 0;
    rollout.position = begin;
    rollout.tokens = tokens;
    rollout.logprobs.assign(tokens.size(), -1);
    rollout.success = tokens.back() == 3;
    trace.rollouts.push_back(rollout);
  }
  return trace;
}

TEST(SentenceEffects, CountWhatComesBackAndWhatStoodInPlace) {
  std::vector<std::vector<TokenId>> rollouts(10, {7, 2, 3});  // 2 comes back
  rollouts.resize(20, {8, 9, 4});
  rollouts.resize(24, {12, 3});  // 12 says the same as 2
  const QueryTrace trace = Left(rollouts, 1);
  const CompletionShares shares(trace, kGap);
  const auto same = [](int32_t a, int32_t b) { return a % 10 == b % 10; };
  const auto effects = SentenceEffects(shares, 0, TokensAsSentences(trace), same, kZ);
  ASSERT_EQ(effects.size(), 3);
  const SentenceEffect& of_2 = effects[1];
  ASSERT_TRUE(of_2.resilience.has_value());
  EXPECT_NEAR(of_2.resilience->share, 0.5, 1e-12);
  EXPECT_EQ(of_2.resilience->rollouts, 20) << "those that say the same are no samples without it";
  const Interval wilson = WilsonInterval({20, 10}, kZ);
  EXPECT_NEAR(of_2.resilience->low, wilson.low, 0.03);
  EXPECT_NEAR(of_2.resilience->high, wilson.high, 0.03);
  ASSERT_TRUE(of_2.success.has_value());
  EXPECT_NEAR(of_2.success->without.share, 0.5, 1e-12);
  ASSERT_EQ(of_2.others.size(), 2);
  EXPECT_EQ(of_2.others[0].says, 7);
  EXPECT_EQ(of_2.others[0].rollouts, 10);
  EXPECT_EQ(of_2.others[0].successes, 10);
  EXPECT_EQ(of_2.others[1].says, 8);
  // After 1 2, half of what follows is known: the response itself. Of the rest nothing is.
  EXPECT_FALSE(of_2.on[2].has_value());
  EXPECT_FALSE(effects[0].success.has_value());
  EXPECT_FALSE(effects[0].resilience.has_value());
}

TEST(SentenceEffects, FewRolloutsTellNothing) {
  const QueryTrace trace = Left(std::vector<std::vector<TokenId>>(7, {7, 2, 3}), 1);
  const CompletionShares shares(trace, kGap);
  const auto effects = SentenceEffects(
      shares, 0, TokensAsSentences(trace), [](int32_t a, int32_t b) { return a == b; }, kZ);
  EXPECT_FALSE(effects[1].resilience.has_value());
  EXPECT_FALSE(effects[1].success.has_value());
  EXPECT_EQ(effects[1].others.size(), 1);
}

TEST(LeavingNodes, AreWhereTheTrieCountsTheRollouts) {
  for (const AnswerSearch& search : SearchAnswerWorlds(4)) {
    for (const QueryTrace& trace : search.traces) {
      const SuccessTrie trie = TrieOf(trace);
      std::vector<Estimate> left(static_cast<std::size_t>(trie.size()));
      const auto nodes = LeavingNodes(trace, trie);
      ASSERT_EQ(nodes.size(), trace.rollouts.size());
      for (std::size_t i = 0; i < nodes.size(); ++i)
        if (nodes[i] >= 0) left[static_cast<std::size_t>(nodes[i])].Add(trace.rollouts[i].success);
      for (int32_t node = 0; node < trie.size(); ++node) {
        EXPECT_EQ(left[static_cast<std::size_t>(node)].samples, trie[node].left.samples);
        EXPECT_EQ(left[static_cast<std::size_t>(node)].successes, trie[node].left.successes);
      }
    }
  }
}

// Everything that completes the prompt passes a node or does not, and p(success) is their sum.
TEST(Completions, AreAllCompletions) {
  for (const AnswerSearch& search : SearchAnswerWorlds(4)) {
    for (const QueryTrace& trace : search.traces) {
      const CompletionShares shares(trace, kGap);
      const auto mass = [](const Strata::Completions& of) {
        double sum = 0;
        for (const auto& leaving : of.leaving) sum += leaving.probability;
        for (const auto& ended : of.ended) sum += ended.probability;
        return sum;
      };
      const auto path = shares.trie().Path(0);
      EXPECT_NEAR(mass(shares.strata().CompletionsOf(0)), 1, 1e-5);
      double passes = 1;
      for (std::size_t k = 1; k < path.size(); ++k) {
        passes *= shares.trie()[path[k]].probability;
        EXPECT_NEAR(mass(shares.strata().CompletionsBeside(0, path[k])), 1 - passes, 1e-5);
      }
      const auto all = shares.Share(
          shares.strata().CompletionsOf(0), [](int32_t) { return true; },
          [&](int32_t completion) {
            const auto responses = static_cast<int32_t>(trace.responses.size());
            return completion < responses
                       ? trace.responses[static_cast<std::size_t>(completion)].success
                       : trace.rollouts[static_cast<std::size_t>(completion - responses)].success;
          },
          kZ);
      ASSERT_TRUE(all.has_value());
      // They differ where no rollout tells: a guess stands there for p(success).
      EXPECT_LE(all->low, shares.strata().Value(0).Mean());
      EXPECT_GE(all->high, shares.strata().Value(0).Mean());
      EXPECT_LE(all->low, search.world.world().Success(0));
      EXPECT_GE(all->high, search.world.world().Success(0));
    }
  }
}

}  // namespace
}  // namespace pivotal::pts
