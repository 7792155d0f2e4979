// Apache-2.0. Tests that rollouts and scores are those of full forward passes, under any schedule.
#include "model/rollout_engine.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "model/decoder.h"
#include "tests/support/error_text.h"
#include "tests/support/full_forward.h"
#include "tests/support/small_phi.h"

namespace pivotal::model {
namespace {

using testing::ExpectLogProbsOfFullForward;
using testing::NextLogProbs;

const Progress kQuiet;

// Returns requests with prefixes of several lengths, and counts around the batch size.
std::vector<RolloutRequest> MixedRequests() {
  std::vector<RolloutRequest> requests;
  for (int32_t i = 0; i < 9; ++i) {
    RolloutRequest request;
    for (int32_t t = 0; t <= 2 * i; ++t) request.prefix.push_back((5 * t + i) % 61);
    request.count = 1 + 3 * (i % 4);
    request.max_new_tokens = 4 + 5 * (i % 3);
    request.stream = 100 + static_cast<uint64_t>(i);
    requests.push_back(request);
  }
  return requests;
}

class EveryPhi : public ::testing::TestWithParam<testing::PhiVariant> {};

TEST_P(EveryPhi, LogProbsAreThoseOfTheFullForwardPass) {
  const auto model = testing::SmallPhi(GetParam().config);
  const auto requests = MixedRequests();
  RolloutEngine engine(*model, {.batch = 5, .prefill_tokens = 7});
  const auto results = engine.Sample(requests, kQuiet);
  ExpectLogProbsOfFullForward(*model, requests, results);
  // Decodes with LibTorch's operators in float64, with the same random numbers.
  const auto wide = testing::InDouble(*model);
  const auto others = RolloutEngine(*wide, {.batch = 7}).Sample(requests, kQuiet);
  ExpectLogProbsOfFullForward(*model, requests, others);
  int same = 0, all = 0;
  for (std::size_t i = 0; i < results.size(); ++i)
    for (std::size_t j = 0; j < results[i].size(); ++j) {
      same += results[i][j].tokens == others[i][j].tokens ? 1 : 0;
      ++all;
    }
  EXPECT_GE(same, all - 1);  // rounding may change one sampled token
}

TEST_P(EveryPhi, ScoresAreThoseOfTheFullForwardPass) {
  const auto model = testing::SmallPhi(GetParam().config);
  const std::vector<TokenId> prefix = {3, 1, 8};
  std::vector<TokenId> continuation;
  for (int i = 0; i < 20; ++i) continuation.push_back(11 + 2 * i);
  for (const bool wide : {false, true}) {
    const auto engine_model =
        wide ? testing::InDouble(*model) : testing::InType(*model, at::kFloat);
    const auto scores =
        RolloutEngine(*engine_model, {.prefill_tokens = 6}).Score(prefix, continuation);
    std::vector<TokenId> tokens = prefix;
    for (std::size_t i = 0; i < continuation.size(); ++i) {
      const float want = NextLogProbs(*model, tokens)[continuation[i]].item<float>();
      ASSERT_NEAR(scores[i].logprob, want, 1e-4) << "token " << i << (wide ? ", float64" : "");
      tokens.push_back(continuation[i]);
    }
  }
}

// Batch size, prefill size, threads, memory, order and grouping of requests are random; rollouts
// stay the same to the bit.
TEST_P(EveryPhi, SchedulesChangeNoBit) {
  const auto model = testing::SmallPhi(GetParam().config);
  const int threads = at::get_num_threads();
  kernels::RandomStream random(5, 5);
  std::vector<RolloutRequest> requests;
  std::vector<TokenId> trunk;
  for (int i = 0; i < 30; ++i) trunk.push_back(static_cast<TokenId>(random.Below(61)));
  for (int i = 0; i < 12; ++i) {  // on one sequence, on a branch of it, and elsewhere
    std::vector<TokenId> prefix(trunk.begin(), trunk.begin() + 1 + random.Below(30));
    if (i % 3 == 0) prefix.push_back(static_cast<TokenId>(i));
    if (i % 5 == 0) prefix.insert(prefix.begin(), 9);
    requests.push_back({prefix, static_cast<int32_t>(1 + random.Below(5)),
                        static_cast<int32_t>(1 + random.Below(25)), static_cast<uint64_t>(i), 0});
  }
  const auto reference =
      RolloutEngine(*model, {.batch = 1, .prefill_tokens = 1}).Sample(requests, kQuiet);
  for (int schedule = 0; schedule < 12; ++schedule) {
    struct Piece {
      std::size_t request;
      int32_t first;
    };
    std::vector<Piece> pieces;
    std::vector<RolloutRequest> parts;
    for (std::size_t i = 0; i < requests.size(); ++i)
      for (int32_t first = 0; first < requests[i].count;) {
        RolloutRequest part = requests[i];
        part.first_rollout = static_cast<uint32_t>(first);
        part.count = static_cast<int32_t>(1 + random.Below(requests[i].count - first));
        pieces.push_back({i, first});
        parts.push_back(part);
        first += part.count;
      }
    for (std::size_t i = parts.size(); i-- > 1;) {
      const auto j = static_cast<std::size_t>(random.Below(static_cast<int64_t>(i) + 1));
      std::swap(parts[i], parts[j]);
      std::swap(pieces[i], pieces[j]);
    }
    at::set_num_threads(static_cast<int>(1 + random.Below(3)));
    EngineOptions options;
    options.batch = static_cast<int32_t>(1 + random.Below(40));
    options.prefill_tokens = static_cast<int32_t>(1 + random.Below(40));
    if (schedule % 2 == 1)  // little more than one rollout needs
      options.kv_memory =
          (8 + random.Below(6)) * kernels::kBlockTokens * KvBytesPerToken(model->config());
    RolloutEngine engine(*model, options);
    const auto cut = static_cast<std::size_t>(random.Below(std::ssize(parts)));
    auto results = engine.Sample(std::span(parts).first(cut), kQuiet);  // two calls of one engine
    for (auto& more : engine.Sample(std::span(parts).subspan(cut), kQuiet))
      results.push_back(std::move(more));
    for (std::size_t i = 0; i < parts.size(); ++i)
      for (std::size_t j = 0; j < results[i].size(); ++j) {
        const Rollout& want =
            reference[pieces[i].request][static_cast<std::size_t>(pieces[i].first) + j];
        ASSERT_EQ(results[i][j].tokens, want.tokens)
            << "schedule " << schedule << ", request " << pieces[i].request;
        ASSERT_EQ(results[i][j].logprobs, want.logprobs) << "schedule " << schedule;
      }
  }
  at::set_num_threads(threads);
}

INSTANTIATE_TEST_SUITE_P(Variants, EveryPhi, ::testing::ValuesIn(testing::PhiVariants()),
                         [](const auto& info) { return info.param.name; });

TEST(RolloutEngine, PrefixesAreComputedOnce) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  std::vector<TokenId> trunk;
  for (int i = 0; i < 40; ++i) trunk.push_back(i);
  std::vector<RolloutRequest> requests;
  for (int length : {10, 25, 40, 17})
    requests.push_back({{trunk.begin(), trunk.begin() + length}, 3, 5, 1, 0});
  engine.Sample(requests, kQuiet);
  EXPECT_EQ(engine.counters().prefilled_tokens, 40);
  EXPECT_EQ(engine.counters().repeated_tokens, 4);
  trunk.push_back(50);
  requests[0].prefix = trunk;
  engine.Sample(requests, kQuiet);
  EXPECT_EQ(engine.counters().prefilled_tokens, 41);
}

TEST(RolloutEngine, TellsWhatDoesNotFitInMemory) {
  const auto model = testing::SmallPhi();
  const int64_t block = kernels::kBlockTokens * KvBytesPerToken(model->config());
  EXPECT_THROW(RolloutEngine(*model, {.kv_memory = block - 1}), Error);
  RolloutEngine engine(*model, {.kv_memory = 3 * block});
  const RolloutRequest fits{{1, 2, 3}, 9, 30, 0, 0}, large{{1, 2, 3}, 1, 60, 0, 0};
  EXPECT_THROW(engine.Sample({&large, 1}, kQuiet), Error);
  EXPECT_EQ(engine.Sample({&fits, 1}, kQuiet)[0].size(), 9u);
}

// Storage types change log-probabilities by bounded amounts; weights have standard deviation 0.3.
TEST(RolloutEngine, StoredTypesAreNear) {
  const auto model = testing::SmallPhi();
  const std::vector<TokenId> prefix = {3, 1, 8}, continuation = {4, 1, 5, 9, 2, 6, 5, 3, 5};
  const auto exact = RolloutEngine(*model, {}).Score(prefix, continuation);
  for (const auto& [type, bound] :
       std::vector<std::pair<kernels::WeightType, double>>{{kernels::WeightType::kFloat32, 0},
                                                           {kernels::WeightType::kFloat16, 0.02},
                                                           {kernels::WeightType::kBfloat16, 0.1},
                                                           {kernels::WeightType::kInt8, 0.3}}) {
    const auto scores = RolloutEngine(*model, {.weights = type}).Score(prefix, continuation);
    double largest = 0;
    for (std::size_t i = 0; i < scores.size(); ++i)
      largest = std::max<double>(largest, std::fabs(scores[i].logprob - exact[i].logprob));
    EXPECT_LE(largest, bound) << kernels::WeightTypeName(type);
    if (bound > 0) {
      EXPECT_GT(largest, bound / 100) << kernels::WeightTypeName(type);
    }
  }
}

TEST(RolloutEngine, SplitRequestsGiveTheSameRollouts) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  RolloutRequest whole{{1, 2, 3}, 6, 8, 5, 0};
  RolloutRequest tail = whole;
  tail.count = 2;
  tail.first_rollout = 4;
  const auto all = engine.Sample({&whole, 1}, kQuiet)[0];
  const auto last = engine.Sample({&tail, 1}, kQuiet)[0];
  EXPECT_EQ(last[0].tokens, all[4].tokens);
  EXPECT_EQ(last[1].tokens, all[5].tokens);
}

TEST(RolloutEngine, StopsAtEosAndAtTheLimit) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  const RolloutRequest request{{1, 5}, 200, 12, 3, 0};
  int eos = 0, length = 0;
  const auto results = engine.Sample({&request, 1}, kQuiet);
  for (const Rollout& rollout : results[0]) {
    ASSERT_EQ(rollout.tokens.size(), rollout.logprobs.size());
    for (std::size_t t = 0; t + 1 < rollout.tokens.size(); ++t) ASSERT_NE(rollout.tokens[t], 2);
    if (rollout.finish == FinishReason::kEos) {
      ++eos;
      EXPECT_EQ(rollout.tokens.back(), 2);
    } else {
      ++length;
      EXPECT_EQ(rollout.tokens.size(), 12u);
    }
  }
  EXPECT_GT(eos, 0);
  EXPECT_GT(length, 0);
  EXPECT_EQ(engine.counters().rollouts, 200);
  EXPECT_EQ(engine.counters().prefilled_tokens, 2);
}

// A rule only cuts rollouts: here after the first 7, or after one token if the response part of the
// prefix holds a 7.
TEST(RolloutEngine, StopsWhereTheRuleSays) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {.batch = 9});
  RolloutRequest request{{1, 7, 5}, 100, 20, 3, 0};
  const auto free = engine.Sample({&request, 1}, kQuiet)[0];
  request.response_tokens = 1;
  request.stop = [](std::span<const TokenId> response) {
    EXPECT_EQ(response.front(), 5);
    return std::ranges::count(response, 7) > 0;
  };
  const auto cut = engine.Sample({&request, 1}, kQuiet)[0];
  int stopped = 0;
  for (std::size_t i = 0; i < free.size(); ++i) {
    std::vector<TokenId> expected = free[i].tokens;
    const auto seven = std::ranges::find(expected, 7);
    const bool stops = seven != expected.end();
    if (stops) expected.erase(seven + 1, expected.end());
    EXPECT_EQ(cut[i].tokens, expected);
    EXPECT_EQ(cut[i].finish, stops ? FinishReason::kStop : free[i].finish);
    stopped += stops;
  }
  EXPECT_GT(stopped, 5);
  EXPECT_LT(stopped, 100);
  request.response_tokens = 2;
  request.stop = [](std::span<const TokenId> response) { return response.front() == 7; };
  const auto at_once = engine.Sample({&request, 1}, kQuiet);  // at least one token is sampled
  for (const Rollout& rollout : at_once[0]) EXPECT_EQ(rollout.tokens.size(), 1u);
}

// Each request of a call is sampled with its own parameters, as by an engine with them.
TEST(RolloutEngine, RequestsMayHaveSamplingOfTheirOwn) {
  const auto model = testing::SmallPhi();
  const SamplingParams greedy{.temperature = 0}, narrow{.temperature = 0.7, .top_k = 5};
  const RolloutRequest usual{{4, 8}, 6, 12, 1, 0};
  std::vector<RolloutRequest> requests(3, usual);
  requests[1].sampling = greedy;
  requests[2].sampling = narrow;
  const auto mixed = RolloutEngine(*model, {.batch = 5}).Sample(requests, kQuiet);
  const SamplingParams of[] = {{}, greedy, narrow};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto alone = RolloutEngine(*model, {.sampling = of[i]}).Sample({&usual, 1}, kQuiet)[0];
    for (std::size_t r = 0; r < alone.size(); ++r) {
      EXPECT_EQ(mixed[i][r].tokens, alone[r].tokens);
      EXPECT_EQ(mixed[i][r].logprobs, alone[r].logprobs);
    }
  }
  EXPECT_NE(mixed[0][0].tokens, mixed[1][0].tokens);
  requests[1].sampling->temperature = -1;
  EXPECT_THROW(RolloutEngine(*model, {}).Sample(requests, kQuiet), Error);
}

// Compares first tokens of 20,000 rollouts with the exact distribution (chi-squared).
TEST(RolloutEngine, FirstTokensFollowTheModel) {
  constexpr int kDraws = 20000;
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  const RolloutRequest request{{4, 8, 15}, kDraws, 1, 77, 0};
  std::vector<int> counts(61);
  const auto results = engine.Sample({&request, 1}, kQuiet);
  for (const Rollout& rollout : results[0]) ++counts[rollout.tokens[0]];
  const at::Tensor truth = NextLogProbs(*model, {4, 8, 15}).exp();
  double chi2 = 0;
  for (int token = 0; token < 61; ++token) {
    const double expected = kDraws * truth[token].item<double>();
    chi2 += std::pow(counts[token] - expected, 2) / expected;
  }
  EXPECT_LT(chi2, 60 + 5 * std::sqrt(120.0));
}

TEST(RolloutEngine, TemperatureZeroIsGreedy) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {.sampling = {.temperature = 0}});
  const RolloutRequest request{{9, 9, 1}, 1, 20, 0, 0};
  std::vector<TokenId> tokens = request.prefix;
  const auto results = engine.Sample({&request, 1}, kQuiet);
  for (TokenId token : results[0][0].tokens) {
    EXPECT_EQ(token, NextLogProbs(*model, tokens).argmax().item<int64_t>());
    tokens.push_back(token);
  }
}

TEST(RolloutEngine, ManyHeadsShareOneKey) {
  PhiConfig config = testing::SmallConfig();
  config.num_hidden_layers = 1;
  config.num_attention_heads = 300;
  config.num_key_value_heads = 1;
  config.initializer_range = 0.05;
  const auto model = testing::SmallPhi(config);
  RolloutEngine engine(*model, {.batch = 5});
  const auto requests = MixedRequests();
  ExpectLogProbsOfFullForward(*model, requests, engine.Sample(requests, kQuiet));
}

TEST(RolloutEngine, ScoresUnderThePolicy) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  const std::vector<TokenId> prefix = {3, 1}, continuation = {4, 1, 5, 9};
  const auto scores = engine.Score(prefix, continuation);
  std::vector<TokenId> tokens = prefix;
  for (std::size_t i = 0; i < continuation.size(); ++i) {
    at::Tensor row = NextLogProbs(*model, tokens);
    EXPECT_NEAR(scores[i].logprob, row[continuation[i]].item<float>(), 1e-4);
    EXPECT_NEAR(scores[i].entropy, -(row.exp() * row).sum().item<float>(), 1e-4);
    row[continuation[i]] = -100;
    EXPECT_EQ(scores[i].runner_up, row.argmax().item<int64_t>());
    EXPECT_NEAR(scores[i].runner_up_logprob, row.max().item<float>(), 1e-4);
    tokens.push_back(continuation[i]);
  }
  RolloutEngine narrow(*model, {.sampling = {.top_k = 1}});
  EXPECT_EQ(narrow.Score(prefix, std::vector<TokenId>{scores[0].runner_up == 4 ? 5 : 4})[0]
                .runner_up_logprob,
            0);
}

TEST(RolloutEngine, RefusesBadRequests) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  for (const RolloutRequest& bad :
       {RolloutRequest{{}, 1, 4, 0, 0}, RolloutRequest{{61}, 1, 4, 0, 0},
        RolloutRequest{{-1}, 1, 4, 0, 0}, RolloutRequest{{1}, 1, 0, 0, 0},
        RolloutRequest{{1, 2}, 1, 95, 0, 0},
        RolloutRequest{.prefix = {1, 2}, .max_new_tokens = 4, .response_tokens = 3}})
    EXPECT_THROW(engine.Sample({&bad, 1}, kQuiet), Error);
  const auto text_of = [&](std::size_t prompt) {
    const RolloutRequest request{std::vector<TokenId>(prompt, 1), 1, 4, 0, 0};
    return testing::ErrorText([&] { engine.Sample({&request, 1}, kQuiet); });
  };
  EXPECT_EQ(text_of(94),
            "a prompt of 94 tokens plus 4 new ones is longer than the model's 96 positions; lower "
            "--max-new-tokens to 2 or less");
  EXPECT_EQ(text_of(6'000'007),
            "a prompt of 6000007 tokens fills the model's 96 positions, without room for an "
            "answer; shorten it");
  EXPECT_THROW(RolloutEngine(*model, {.sampling = {.top_p = 2}}), Error);
  EXPECT_THROW(RolloutEngine(*model, {.batch = 0}), Error);
}

TEST(RolloutEngine, SaysThatMemoryRanOut) {
  const auto model = testing::SmallPhi();
  const auto make = [](const PhiModel&, const DecoderOptions&) -> std::unique_ptr<Decoder> {
    throw std::bad_alloc();
  };
  EXPECT_EQ(testing::ErrorText([&] { RolloutEngine(*model, {}, make); }),
            "memory ran out while preparing to sample; lower --kv-memory or --batch, or take "
            "--weights int8");
}

TEST(RolloutEngine, StopsWhenAsked) {
  class Stop : public Progress {
    bool StopRequested() const override { return ++calls > 3; }
    mutable int calls = 0;
  };
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  const RolloutRequest request{{1}, 4, 50, 0, 0};
  EXPECT_THROW(engine.Sample({&request, 1}, Stop()), Interrupted);
  EXPECT_EQ(engine.Sample({&request, 1}, kQuiet)[0].size(), 4u);  // usable afterwards
}

}  // namespace
}  // namespace pivotal::model
