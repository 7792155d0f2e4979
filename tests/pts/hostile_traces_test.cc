// Apache-2.0. Feeds in traces that no search could have written: they are refused, or read without
// harm.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "data/base/error.h"
#include "data/traces/trace_store.h"
#include "pivotal/tokenizer.h"
#include "pts/pair_builder.h"
#include "pts/response_trace.h"
#include "pts/success_trie.h"
#include "tests/support/example_traces.h"
#include "tests/support/temp_dir.h"

namespace pivotal::pts {
namespace {

class Spoiler {
 public:
  explicit Spoiler(uint32_t seed) : random_(seed) {}

  void Spoil(QueryTrace& query) {
    switch (random_() % 6) {
      case 0: return Set(query.samples, query.successes);
      case 1: return Spoil(query.responses[random_() % query.responses.size()]);
      case 2: return Spoil(query.rollouts[random_() % query.rollouts.size()]);
      case 3: return query.responses.push_back(query.responses[random_() % query.responses.size()]);
      case 4: return Spoil(query.responses.back());
      default: return Resize(query.prompt);
    }
  }

 private:
  int32_t Value() {
    constexpr std::array kValues = {INT32_MIN, -2, -1, 0, 1, 2, 3, 4, 300, 31999, INT32_MAX};
    return kValues[random_() % kValues.size()];
  }
  template <typename... T>
  void Set(T&... values) {
    (void)((random_() % 2 == 0 && (values = static_cast<T>(Value()), true)), ...);
  }
  template <typename T>
  void Resize(std::vector<T>& values) {
    values.resize(random_() % 5);
    if (!values.empty()) values.back() = static_cast<T>(Value());
  }
  // Changes both to one new length: readers refuse different lengths.
  void Spoil(std::vector<TokenId>& tokens, std::vector<float>& logprobs) {
    Resize(tokens);
    logprobs.resize(tokens.size());
    for (float& logprob : logprobs) Set(logprob);
  }
  void Spoil(ResponseTrace& response) {
    if (random_() % 2 == 0) Spoil(response.tokens, response.logprobs);
    for (PivotalToken& token : response.pivotal)
      Set(token.position, token.chosen, token.rejected, token.chosen_samples,
          token.chosen_successes, token.rejected_samples, token.rejected_successes, token.before,
          token.low);
    for (AlternativeToken& other : response.alternatives) Set(other.position, other.token);
  }
  void Spoil(RolloutTrace& rollout) {
    if (random_() % 2 == 0) Spoil(rollout.tokens, rollout.logprobs);
    Set(rollout.response, rollout.position, rollout.forced);
    rollout.kind = static_cast<RolloutKind>(random_() % 6);
  }

  std::mt19937 random_;
};

// Makes pairs and curves of the traces.
void Use(std::vector<QueryTrace> queries, const Tokenizer& tokenizer) {
  PairOptions options;
  options.gap = 1e-9;
  options.min_confidence = 0;
  BuildPairs(queries, tokenizer, options);
  for (QueryTrace& query : queries) {
    const SuccessTrie trie = TrieOf(query);
    const Strata strata(trie, 0.2);
    for (int32_t r = 0; r < trie.responses(); ++r) {
      FillCurve(trie, strata, 0.95, r, query.responses[r]);
      for (int32_t node : trie.Path(r).subspan(1))
        AddPivotal(trie, strata, 0.95, node, 0.1, 0.9, query.responses[r]);
    }
  }
}

TEST(HostileTraces, AreRefusedOrReadWithoutHarm) {
  const auto tokenizer = LoadTokenizer(PIVOTAL_SOURCE_DIR "/experiments/tiny/model");
  const testing::TempDir folder;
  const auto path = folder.path() / "traces.h5";
  int32_t refused = 0, unusable = 0, used = 0;
  Spoiler spoiler(1);
  for (int32_t i = 0; i < 600; ++i) {
    QueryTrace query = testing::ExampleTrace("q");
    for (int32_t changes = 1 + i % 3; changes > 0; --changes) spoiler.Spoil(query);
    try {
      SaveTraces(path, {query});  // writing checks the same things as reading
    } catch (const Error&) {
      ++refused;
      continue;
    }
    try {
      Use(LoadTraces(path), *tokenizer);
      ++used;
    } catch (const Error&) {
      ++unusable;
    }
  }
  EXPECT_GT(refused, 30);
  EXPECT_GT(unusable, 30);
  EXPECT_GT(used, 30);
}

}  // namespace
}  // namespace pivotal::pts
