// Apache-2.0.
#include "pts/pair_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "data/base/error.h"
#include "pivotal/search.h"
#include "tests/support/error_text.h"
#include "tests/support/markov_policy.h"

namespace pivotal::pts {
namespace {

using ::testing::ElementsAre;
using testing::ErrorText;
using testing::ForkChain;
using ::testing::HasSubstr;
using testing::MarkovPolicy;
using testing::RandomChain;

constexpr TokenId kEos = 7;

// A tokenizer whose token 3 is " t3" and whose EOS has no text. The leading blank is dropped at the
// start of a text.
class FakeTokenizer : public Tokenizer {
 public:
  std::vector<TokenId> Encode(std::string_view) const override { Fail("not used"); }
  std::string Decode(std::span<const TokenId> ids, bool at_start) const override {
    std::string text;
    for (TokenId id : ids)
      if (id != kEos) text += fmt::format(" t{}", id);
    return at_start && !text.empty() ? text.substr(1) : text;
  }
  std::string Piece(TokenId id) const override {
    return id == kEos ? "</s>" : fmt::format(" t{}", id);
  }
  int32_t VocabSize() const override { return 8; }
  TokenId bos() const override { return -1; }
  TokenId eos() const override { return kEos; }
  bool adds_bos() const override { return false; }
};

// Returns a pivotal token whose chosen side succeeded `chosen_wins` times out of 10 and whose
// rejected side `rejected_wins` times.
PivotalToken Token(int32_t position, TokenId chosen, TokenId rejected, int32_t chosen_wins,
                   int32_t rejected_wins, double before = 0.1, double after = 0.9) {
  return {position, before, after, chosen, rejected, 10, chosen_wins, 10, rejected_wins};
}

QueryTrace TraceOf(std::vector<std::vector<TokenId>> responses) {
  QueryTrace query;
  query.id = "q";
  query.prompt = {0, 1};
  query.searched = true;
  for (auto& tokens : responses) {
    auto& response = query.responses.emplace_back();
    response.logprobs.assign(tokens.size(), -1.0f);
    response.tokens = std::move(tokens);
  }
  return query;
}

std::vector<PreferencePair> Build(const std::vector<QueryTrace>& queries,
                                  const PairOptions& options = {.min_confidence = 0}) {
  return BuildPairs(queries, FakeTokenizer(), options);
}

std::vector<std::string> Ids(const std::vector<PreferencePair>& pairs) {
  std::vector<std::string> ids;
  for (const auto& pair : pairs) ids.push_back(pair.id);
  return ids;
}

TEST(BuildPairs, WritesBothDirections) {
  auto query = TraceOf({{2, 3, 4, kEos}});
  query.responses[0].pivotal = {Token(2, 3, 5, 9, 1, 0.25, 0.75), Token(4, 6, kEos, 8, 0, 0.75, 0)};
  const auto pairs = Build({query});
  ASSERT_EQ(pairs.size(), 2u);

  EXPECT_EQ(pairs[0].id, "q/0/2");  // raised p: the trunk's token is chosen
  EXPECT_THAT(pairs[0].prompt_ids, ElementsAre(0, 1, 2));
  EXPECT_THAT(pairs[0].chosen_ids, ElementsAre(3));
  EXPECT_THAT(pairs[0].rejected_ids, ElementsAre(5));
  EXPECT_EQ(pairs[0].prompt, "t0 t1 t2");
  EXPECT_EQ(pairs[0].chosen, " t3");
  EXPECT_EQ(pairs[0].rejected, " t5");
  EXPECT_EQ(pairs[0].chosen_estimate.samples, 10);
  EXPECT_EQ(pairs[0].chosen_estimate.successes, 9);
  EXPECT_EQ(pairs[0].rejected_estimate.successes, 1);
  EXPECT_EQ(pairs[0].delta, 0.5);
  EXPECT_EQ(pairs[0].source, "pivotal");

  EXPECT_EQ(pairs[1].id, "q/0/4");  // lowered p: the trunk's token is rejected
  EXPECT_THAT(pairs[1].prompt_ids, ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(pairs[1].chosen_ids, ElementsAre(6));
  EXPECT_THAT(pairs[1].rejected_ids, ElementsAre(kEos));
  EXPECT_EQ(pairs[1].rejected, "</s>");  // decodes to nothing
  EXPECT_EQ(pairs[1].delta, -0.75);
}

TEST(BuildPairs, EnforcesTheGapOnFreshRollouts) {
  auto query = TraceOf({{2, 3, 4, 5, 6, kEos}});
  query.responses[0].pivotal = {
      Token(1, 2, 3, 7, 5),    // 0.2, up to rounding
      Token(2, 3, 4, 6, 5),    // 0.1
      Token(3, 4, 5, 2, 9),    // chosen is worse than rejected
      Token(4, -1, -1, 9, 0),  // no alternative was seen
      Token(5, 6, 2, 10, 0),
  };
  query.responses[0].pivotal.push_back(Token(6, kEos, 2, 9, 0));
  query.responses[0].pivotal.back().rejected_samples = 0;  // not confirmed
  EXPECT_THAT(Ids(Build({query})), ElementsAre("q/0/1", "q/0/5"));
  EXPECT_THAT(Ids(Build({query}, {.gap = 0.5, .min_confidence = 0})), ElementsAre("q/0/5"));
}

TEST(BuildPairs, WritesEqualPairsOfAQueryOnce) {
  auto query = TraceOf({{2, 3, kEos}, {2, 4, kEos}, {5, 3, kEos}});
  for (auto& response : query.responses) response.pivotal = {Token(2, 3, 4, 9, 1)};
  EXPECT_THAT(Ids(Build({query})), ElementsAre("q/0/2", "q/2/2"));
  auto other = query;
  other.id = "r";
  EXPECT_THAT(Ids(Build({query, other})), ElementsAre("q/0/2", "q/2/2", "r/0/2", "r/2/2"));
}

TEST(BuildPairs, KeepsTheLargestDifferencesOfAResponse) {
  auto query = TraceOf({{2, 3, 4, 5, kEos}, {2, 3, 6, 5, kEos}});
  query.responses[0].pivotal = {Token(1, 2, 3, 8, 4), Token(2, 3, 5, 7, 4), Token(3, 4, 5, 9, 1),
                                Token(4, 5, 6, 8, 4)};
  EXPECT_THAT(Ids(Build({query}, {.min_confidence = 0, .max_pairs_per_response = 1})),
              ElementsAre("q/0/3"));
  EXPECT_THAT(Ids(Build({query}, {.min_confidence = 0, .max_pairs_per_response = 2})),
              ElementsAre("q/0/1", "q/0/3"));  // ties go to the earlier token
  // The second response may give the pairs that the first had to leave out. Pairs that the first
  // has given do not count against its limit.
  query.responses[1].pivotal = {Token(1, 2, 3, 8, 4), Token(2, 3, 5, 7, 4)};
  EXPECT_THAT(Ids(Build({query}, {.min_confidence = 0, .max_pairs_per_response = 1})),
              ElementsAre("q/0/3", "q/1/1"));
  EXPECT_THAT(Ids(Build({query}, {.min_confidence = 0, .max_pairs_per_response = 2})),
              ElementsAre("q/0/1", "q/0/3", "q/1/2"));
}

// Returns a query whose tokens have this evidence. All of them give pairs by their counts.
QueryTrace WithEvidence(const std::string& id, const std::vector<double>& evidence) {
  std::vector<TokenId> tokens(evidence.size(), 2);
  auto query = TraceOf({tokens});
  query.id = id;
  for (std::size_t i = 0; i < evidence.size(); ++i) {
    query.responses[0].pivotal.push_back(Token(static_cast<int32_t>(i) + 1, 2, 3, 9, 1));
    query.responses[0].pivotal.back().evidence = evidence[i];
  }
  return query;
}

// e-BH keeps the k largest of m e-values for the largest k whose k-th is m / (k share) or more.
TEST(BuildPairs, KeepsTheShareOfFalsePairsBelowItsLimit) {
  // m = 5. At a share of 0.1 the k-th must reach 50 / k: 50, 25, 16.7, 12.5, 10.
  const auto kept = [](const std::vector<double>& evidence, double share) {
    return Ids(Build({WithEvidence("q", evidence)}, {.max_false_share = share}));
  };
  EXPECT_THAT(kept({60, 20, 18, 13, 9}, 0.1), ElementsAre("q/0/1", "q/0/2", "q/0/3", "q/0/4"))
      << "60 >= 50, 20 < 25, 18 >= 16.7, 13 >= 12.5, 9 < 10";
  EXPECT_THAT(kept({9, 13, 18, 20, 60}, 0.1), ElementsAre("q/0/2", "q/0/3", "q/0/4", "q/0/5"));
  EXPECT_THAT(kept({60, 20, 12, 9, 9}, 0.1), ElementsAre("q/0/1"));
  EXPECT_THAT(kept({10, 10, 10, 10, 10}, 0.1), ::testing::SizeIs(5)) << "equal evidence";
  EXPECT_THAT(kept({49, 24, 16, 12, 9}, 0.1), ElementsAre());
  EXPECT_THAT(kept({49, 24, 16, 12, 9}, 0.2), ::testing::SizeIs(5)) << "5 / (5 * 0.2) = 5";
  EXPECT_THAT(kept({0, 0, 0, 0, 0}, 0.999), ElementsAre()) << "nothing without evidence";
  EXPECT_THAT(kept({0, 0, 0, 0, 0}, 1), ::testing::SizeIs(5)) << "1 asks for nothing";
}

TEST(BuildPairs, EvidenceIsWeighedOverTheWholeRun) {
  // m = 3: at a share of 0.1 two pairs need 15 each, three need 10.
  const std::vector<QueryTrace> queries = {WithEvidence("a", {16, 9}), WithEvidence("b", {15})};
  EXPECT_THAT(Ids(Build(queries, {.max_false_share = 0.1})), ElementsAre("a/0/1", "b/0/1"));
  EXPECT_THAT(Ids(Build({queries[0]}, {.max_false_share = 0.1})), ElementsAre())
      << "m = 2: one pair needs 20, two need 10 each";
}

// Candidates that give no pair count all the same; those without fresh rollouts do not.
TEST(BuildPairs, CandidatesWithoutPairsCountAgainstTheShare) {
  auto query = WithEvidence("q", {30, 25});
  auto& pivotal = query.responses[0].pivotal;
  EXPECT_THAT(Ids(Build({query}, {.max_false_share = 0.1})), ElementsAre("q/0/1", "q/0/2"));
  for (int i = 0; i < 4; ++i) {  // m = 6: two need 30 each, one needs 60
    query.responses[0].tokens.push_back(2);
    pivotal.push_back(Token(3 + i, 2, 3, 5, 5));
  }
  EXPECT_THAT(Ids(Build({query}, {.max_false_share = 0.1})), ElementsAre());
  pivotal[5].chosen = -1;  // m = 5: two need 25 each
  EXPECT_THAT(Ids(Build({query}, {.max_false_share = 0.1})), ElementsAre("q/0/1", "q/0/2"));
  pivotal[0].evidence = 24;  // m = 5: one needs 50
  EXPECT_THAT(Ids(Build({query}, {.max_false_share = 0.1})), ElementsAre());
  pivotal[4].rejected_samples = pivotal[3].chosen_samples = 0;  // m = 3: two need 15 each
  EXPECT_THAT(Ids(Build({query}, {.max_false_share = 0.1})), ElementsAre("q/0/1", "q/0/2"));
}

TEST(BuildPairs, APairOfSeveralResponsesIsOneCandidate) {
  auto query = TraceOf({{2, 3, kEos}, {2, 4, kEos}, {2, 3, 5, kEos}});
  for (auto& response : query.responses) {
    response.pivotal = {Token(2, 3, 4, 9, 1)};
    response.pivotal[0].evidence = 10;
  }
  // m = 1: 1 / (1 * 0.1) = 10.
  EXPECT_THAT(Ids(Build({query}, {.max_false_share = 0.1})), ElementsAre("q/0/2"));
  EXPECT_EQ(FalseShareBound(std::vector{query}, {}), 0.1);
  query.responses[1].pivotal[0].evidence = 20;  // another guess: two e-values of one pair
  EXPECT_EQ(FalseShareBound(std::vector{query}, {}), 0.2);
  query.responses[1].pivotal[0].evidence = 10;
  query.responses[1].tokens[0] = 5;  // after another token it is another pair
  EXPECT_THAT(Ids(Build({query}, {.max_false_share = 0.1})), ElementsAre("q/0/2", "q/1/2"))
      << "m = 2: two need 10 each";
}

// The bound is m / (k least) of the k pairs that BuildPairs returns.
TEST(FalseShareBound, IsWhatEvidenceAllows) {
  const auto bound = [](const std::vector<QueryTrace>& queries, const PairOptions& options = {}) {
    return FalseShareBound(queries, options);
  };
  EXPECT_EQ(bound({}), std::nullopt);
  EXPECT_EQ(bound({WithEvidence("q", {})}), std::nullopt);
  EXPECT_EQ(bound({WithEvidence("q", {40})}), 1 / 40.0);
  EXPECT_EQ(bound({WithEvidence("q", {40, 25})}), 1 / 25.0);
  EXPECT_EQ(bound({WithEvidence("q", {40, 0})}), std::nullopt) << "a pair has no evidence";
  EXPECT_EQ(bound({WithEvidence("q", {0.5})}), 1);
  EXPECT_EQ(bound({WithEvidence("q", {40}), WithEvidence("r", {100})}), 1 / 40.0);
  auto query = WithEvidence("q", {40, 25, 30});
  query.responses[0].pivotal[1].chosen_successes = 1;  // gives no pair, but is a candidate
  EXPECT_EQ(bound({query}), 3 / (2 * 30.0));
  EXPECT_EQ(bound({WithEvidence("q", {60, 20, 18, 13, 9})}, {.max_false_share = 0.1}),
            5 / (4 * 13.0));
  EXPECT_EQ(bound({WithEvidence("q", {9})}, {.max_false_share = 0.1}), std::nullopt);
}

// The number of rollouts of a sequential test depends on them, so its evidence alone counts.
TEST(BuildPairs, SequentialTestsAreJudgedByTheirEvidence) {
  auto query = WithEvidence("q", {19.9, 20, 100, 0, 1});
  auto& pivotal = query.responses[0].pivotal;
  for (int i : {0, 1, 2}) pivotal[i].sequential = true;
  EXPECT_THAT(Ids(Build({query}, {})), ElementsAre("q/0/2", "q/0/3", "q/0/4", "q/0/5"))
      << "1 / (1 - 0.95) = 20; the last two have fixed numbers of rollouts";
  EXPECT_THAT(Ids(Build({query}, {.min_confidence = 0.99})),
              ElementsAre("q/0/3", "q/0/4", "q/0/5"));
  EXPECT_THAT(Ids(Build({query}, {.min_confidence = 0.9})),
              ElementsAre("q/0/1", "q/0/2", "q/0/3", "q/0/4", "q/0/5"));
  EXPECT_THAT(Ids(Build({query}, {.min_confidence = 0})), ::testing::SizeIs(5));
  // Few rollouts that are all right, against all wrong: evidence counts, not their number. The gap
  // is asked for as ever.
  pivotal[2].chosen_samples = pivotal[2].rejected_samples = 2;
  pivotal[2].chosen_successes = 2, pivotal[2].rejected_successes = 0;
  pivotal[1].chosen_successes = 2;
  pivotal[3].chosen_samples = pivotal[3].rejected_samples = 2;
  pivotal[3].chosen_successes = 2, pivotal[3].rejected_successes = 1;
  EXPECT_THAT(Ids(Build({query}, {})), ElementsAre("q/0/3", "q/0/5"));
}

std::vector<std::vector<std::string>> Reasons(const QueryTrace& query, const PairOptions& options) {
  std::vector<std::vector<std::string>> texts;
  const auto reasons = WhyNoPairs(query, options);
  for (std::size_t r = 0; r < reasons.size(); ++r) {
    texts.emplace_back();
    for (std::size_t i = 0; i < reasons[r].size(); ++i)
      texts[r].push_back(TextOf(reasons[r][i], query.responses[r].pivotal[i], options));
  }
  return texts;
}

TEST(WhyNoPairs, TellsWhatEachTokenLacks) {
  auto query = TraceOf({{2, 3, 4, 5, 6, 3, kEos}, {2, 3, kEos}});
  query.responses[0].pivotal = {
      Token(1, 2, 3, 9, 1),
      Token(2, 3, -1, 9, 1),
      Token(3, 4, 5, 9, 1),
      Token(4, 5, 6, 6, 5),
      Token(5, 6, 3, 2, 9),
      Token(6, 3, 4, 7, 4),
      Token(7, kEos, 4, 9, 1, 0.5, 0.75),
  };
  query.responses[0].pivotal[2].rejected_samples = 0;
  query.responses[1].pivotal = {Token(1, 2, 3, 9, 1), Token(2, 3, 4, 8, 1)};
  const PairOptions options{.min_delta = 0.3};
  EXPECT_THAT(
      Reasons(query, options),
      ElementsAre(
          ElementsAre("", "rollouts met no other token", "sides not measured on fresh rollouts",
                      "sides differ by 0.1 on fresh rollouts, 0.2 asked for",
                      "sides differ by -0.7 on fresh rollouts, 0.2 asked for",
                      "not measurably apart (95% one-sided)", "p changes by 0.25, 0.3 asked for"),
          ElementsAre("an earlier response gives the same pair", "")));
  EXPECT_THAT(Ids(Build({query}, options)), ElementsAre("q/0/1", "q/1/2"));
  // without regard to other tokens
  EXPECT_EQ(WhyNoPair(query.responses[1].pivotal[0], options), NoPair::kNone);
}

TEST(WhyNoPairs, NamesTheLimit) {
  auto query = TraceOf({{2, 3, 4, kEos}});
  query.responses[0].pivotal = {Token(1, 2, 3, 8, 4), Token(2, 3, 5, 9, 0), Token(3, 4, 5, 9, 1)};
  EXPECT_THAT(Reasons(query, {.min_confidence = 0, .max_pairs_per_response = 2}),
              ElementsAre(ElementsAre("its response gives 2 of larger difference", "", "")));
}

TEST(PairOptions, NameTheBadField) {
  const auto error = [](const PairOptions& options) {
    return ErrorText([&] { options.Validate(); });
  };
  EXPECT_EQ(error({}), "(no Error)");
  for (double gap : {0.0, 1.0, -0.5, static_cast<double>(NAN)})
    EXPECT_THAT(error({.gap = gap}), HasSubstr("gap"));
  EXPECT_THAT(error({.min_delta = 1}), HasSubstr("min_delta"));
  EXPECT_THAT(error({.min_confidence = 1}), HasSubstr("min_confidence"));
  for (double share : {0.0, 1.1, -0.5, static_cast<double>(NAN)})
    EXPECT_THAT(error({.max_false_share = share}), HasSubstr("max_false_share"));
  EXPECT_THAT(error({.max_pairs_per_response = -1}), HasSubstr("max_pairs_per_response"));
}

std::vector<QueryTrace> SearchedTraces(MarkovPolicy& policy, int32_t count) {
  std::vector<Query> queries;
  for (int32_t i = 0; i < count; ++i) queries.push_back({fmt::format("q{}", i), "", "", {1, 0}});
  SearchOptions options;
  options.responses = 4;
  options.max_new_tokens = 40;
  std::vector<QueryTrace> traces;
  Progress progress;
  Search(
      queries, policy,
      [&](const Query&, std::span<const TokenId> response) {
        return policy.chain().IsRight(0, response);
      },
      options, [&](std::vector<QueryTrace> group) { traces = std::move(group); }, progress);
  return traces;
}

TEST(BuildPairs, AFoundForkBecomesAPair) {
  MarkovPolicy policy(ForkChain(), 5);
  const auto traces = SearchedTraces(policy, 10);
  const auto pairs = BuildPairs(traces, FakeTokenizer(), {.gap = 0.9});
  EXPECT_GT(pairs.size(), 10u);
  for (const auto& pair : pairs) {
    EXPECT_THAT(pair.chosen_ids, ElementsAre(3));
    EXPECT_THAT(pair.rejected_ids, ElementsAre(4));
  }
}

struct At {
  int32_t query, response, position;
};

At Parse(const std::string& id) {
  At at{};
  EXPECT_EQ(std::sscanf(id.c_str(), "q%d/%d/%d", &at.query, &at.response, &at.position), 3) << id;
  return at;
}

TEST(BuildControlPairs, SetsTheTrunkAgainstTheRunnerUpByVerdict) {
  MarkovPolicy policy(RandomChain(8, 5), 3);
  const auto traces = SearchedTraces(policy, 20);
  const auto pairs =
      BuildControlPairs(traces, FakeTokenizer(), policy, ControlKind::kRandom, 60, 1);
  ASSERT_EQ(pairs.size(), 60u);
  const auto ids = Ids(pairs);
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), 60u);
  int32_t right = 0;
  for (const auto& pair : pairs) {
    const At at = Parse(pair.id);
    const auto& query = traces[at.query];
    const auto& response = query.responses[at.response];
    auto prompt = query.prompt;
    prompt.insert(prompt.end(), response.tokens.begin(), response.tokens.begin() + at.position - 1);
    EXPECT_EQ(pair.prompt_ids, prompt);
    const TokenId trunk = response.tokens[at.position - 1];
    const TokenId other = policy.Score(prompt, {&trunk, 1})[0].runner_up;
    EXPECT_THAT(pair.chosen_ids, ElementsAre(response.success ? trunk : other));
    EXPECT_THAT(pair.rejected_ids, ElementsAre(response.success ? other : trunk));
    EXPECT_EQ(pair.source, "random");
    EXPECT_EQ(pair.delta, 0);
    EXPECT_EQ(pair.chosen_estimate.samples + pair.rejected_estimate.samples, 0);
    right += response.success;
  }
  EXPECT_GT(right, 10);
  EXPECT_LT(right, 50);
}

TEST(BuildControlPairs, AscendingAndKeyedByTheSeed) {
  MarkovPolicy policy(RandomChain(8, 5), 3);
  const auto traces = SearchedTraces(policy, 20);
  const auto one = BuildControlPairs(traces, FakeTokenizer(), policy, ControlKind::kRandom, 40, 1);
  EXPECT_EQ(Ids(one),
            Ids(BuildControlPairs(traces, FakeTokenizer(), policy, ControlKind::kRandom, 40, 1)));
  EXPECT_NE(Ids(one),
            Ids(BuildControlPairs(traces, FakeTokenizer(), policy, ControlKind::kRandom, 40, 2)));
  EXPECT_TRUE(std::is_sorted(one.begin(), one.end(), [](const auto& a, const auto& b) {
    const At x = Parse(a.id), y = Parse(b.id);
    return std::tie(x.query, x.response, x.position) < std::tie(y.query, y.response, y.position);
  }));
}

TEST(BuildControlPairs, GivesWhatThereIsWhereTracesAreShort) {
  MarkovPolicy policy(ForkChain(), 5);
  auto query = TraceOf({{1, 3, 5, kEos}, {1, 4, 6, kEos}});
  query.prompt = {1, 0};
  query.responses[0].success = true;
  auto ignored = query;
  ignored.searched = false;
  const auto pairs = BuildControlPairs(std::vector{query, ignored}, FakeTokenizer(), policy,
                                       ControlKind::kRandom, 100, 1);
  // Tokens 5, 6 and EOS are certain: they have no other side.
  EXPECT_THAT(Ids(pairs), ElementsAre("q/0/1", "q/0/2", "q/1/1", "q/1/2"));
  EXPECT_TRUE(BuildControlPairs({}, FakeTokenizer(), policy, ControlKind::kRandom, 5, 1).empty());
  EXPECT_TRUE(
      BuildControlPairs(std::vector{query}, FakeTokenizer(), policy, ControlKind::kRandom, 0, 1)
          .empty());
  EXPECT_THROW(BuildControlPairs({}, FakeTokenizer(), policy, ControlKind::kRandom, -1, 1), Error);
}

TEST(BuildControlPairs, DrawsPositionsUniformly) {
  MarkovPolicy policy(ForkChain(), 5);
  auto query = TraceOf({{1, 2, 1, 2, 1, 2, 1, 2}});
  query.prompt = {1, 0};
  std::vector<int32_t> counts(9);
  constexpr int32_t kDraws = 4000;
  query.id = "q0";
  const std::vector queries{query};
  for (uint64_t seed = 0; seed < kDraws; ++seed)
    ++counts[Parse(BuildControlPairs(queries, FakeTokenizer(), policy, ControlKind::kRandom, 1,
                                     seed)[0]
                       .id)
                 .position];
  for (int32_t k = 1; k <= 8; ++k)
    EXPECT_NEAR(counts[k], kDraws / 8.0, 5 * std::sqrt(kDraws * 7 / 64.0)) << k;
}

// Positions must be those with the highest entropy, or the lowest probability, by the policy's own
// table.
TEST(BuildControlPairs, TakesTheLeastCertainPlaces) {
  MarkovPolicy policy(RandomChain(8, 5), 3);
  const auto traces = SearchedTraces(policy, 20);
  for (const ControlKind kind : {ControlKind::kEntropy, ControlKind::kLowProbability}) {
    const auto pairs = BuildControlPairs(traces, FakeTokenizer(), policy, kind, 25, 1);
    ASSERT_EQ(pairs.size(), 25u);
    std::set<std::vector<TokenId>> taken;  // prompts, because two responses may give the same pair
    const auto measure = [&](const QueryTrace& query, const ResponseTrace& response, int32_t k) {
      const auto score =
          policy.Score(query.prompt, response.tokens)[static_cast<std::size_t>(k - 1)];
      return kind == ControlKind::kEntropy ? -score.entropy : score.logprob;
    };
    double worst = -1e9;
    for (const auto& pair : pairs) {
      const At at = Parse(pair.id);
      taken.insert(pair.prompt_ids);
      worst = std::max<double>(
          worst, measure(traces[at.query], traces[at.query].responses[at.response], at.position));
      EXPECT_EQ(pair.source, kind == ControlKind::kEntropy ? "entropy" : "low-probability");
    }
    for (std::size_t q = 0; q < traces.size(); ++q) {
      if (!traces[q].searched) continue;
      for (std::size_t r = 0; r < traces[q].responses.size(); ++r)
        for (int32_t k = 1; k <= std::ssize(traces[q].responses[r].tokens); ++k) {
          const auto& tokens = traces[q].responses[r].tokens;
          std::vector<TokenId> prompt = traces[q].prompt;
          prompt.insert(prompt.end(), tokens.begin(), tokens.begin() + k - 1);
          if (measure(traces[q], traces[q].responses[r], k) < worst - 1e-6) {
            EXPECT_TRUE(taken.contains(prompt)) << k;
          }
        }
    }
  }
  EXPECT_THROW(kControlNames.Parse("pivotal"), Error);
  EXPECT_EQ(kControlNames.Parse("entropy"), ControlKind::kEntropy);
}

}  // namespace
}  // namespace pivotal::pts
