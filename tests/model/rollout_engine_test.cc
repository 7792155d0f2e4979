// Apache-2.0.
#include "model/rollout_engine.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>

#include "data/error.h"
#include "tests/support/small_phi.h"

namespace pivotal::model {
namespace {

const Progress kQuiet;

// Prefixes of mixed lengths, counts around the batch size.
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

// log softmax of the logits after `tokens`, by a full forward pass.
at::Tensor NextLogProbs(const PhiModel& model, const std::vector<TokenId>& tokens) {
  const c10::NoGradGuard no_grad;
  const std::vector<int64_t> ids(tokens.begin(), tokens.end());
  const at::Tensor row = at::tensor(ids, at::TensorOptions(at::kLong)).unsqueeze(0);
  return at::log_softmax(model.Logits(model.Hidden(row))[0][-1], -1);
}

TEST(RolloutEngine, LogProbsAreThoseOfTheFullForwardPass) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {.batch = 5});
  const auto requests = MixedRequests();
  const auto results = engine.Sample(requests, kQuiet);
  ASSERT_EQ(results.size(), requests.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    ASSERT_EQ(results[i].size(), static_cast<std::size_t>(requests[i].count));
    for (const Rollout& rollout : results[i]) {
      std::vector<TokenId> tokens = requests[i].prefix;
      for (std::size_t t = 0; t < rollout.tokens.size(); ++t) {
        ASSERT_NEAR(rollout.logprobs[t],
                    NextLogProbs(*model, tokens)[rollout.tokens[t]].item<float>(), 1e-4);
        tokens.push_back(rollout.tokens[t]);
      }
    }
  }
}

TEST(RolloutEngine, BatchAndOrderChangeNothing) {
  const auto model = testing::SmallPhi();
  auto requests = MixedRequests();
  const auto reference = RolloutEngine(*model, {.batch = 1}).Sample(requests, kQuiet);
  for (int32_t batch : {2, 7, 64}) {
    const auto other =
        RolloutEngine(*model, {.batch = batch, .prefill_tokens = 30}).Sample(requests, kQuiet);
    for (std::size_t i = 0; i < reference.size(); ++i)
      for (std::size_t j = 0; j < reference[i].size(); ++j)
        EXPECT_EQ(other[i][j].tokens, reference[i][j].tokens) << "batch " << batch;
  }
  std::reverse(requests.begin(), requests.end());
  const auto reversed = RolloutEngine(*model, {.batch = 7}).Sample(requests, kQuiet);
  EXPECT_EQ(reversed.back()[0].tokens, reference.front()[0].tokens);
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
    if (rollout.finish == data::FinishReason::kEos) {
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

// First tokens of 20,000 rollouts against the exact distribution.
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

TEST(RolloutEngine, ScoresUnderThePolicy) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  const std::vector<TokenId> prefix = {3, 1}, continuation = {4, 1, 5, 9};
  const auto scores = engine.Score(prefix, continuation);
  std::vector<TokenId> tokens = prefix;
  for (std::size_t i = 0; i < continuation.size(); ++i) {
    at::Tensor row = NextLogProbs(*model, tokens);
    EXPECT_NEAR(scores[i].logprob, row[continuation[i]].item<float>(), 1e-4);
    row[continuation[i]] = -100;
    EXPECT_EQ(scores[i].runner_up, row.argmax().item<int64_t>());
    EXPECT_NEAR(scores[i].runner_up_logprob, row.max().item<float>(), 1e-4);
    tokens.push_back(continuation[i]);
  }
  RolloutEngine narrow(*model, {.sampling = {.top_k = 1}});
  EXPECT_EQ(narrow.Score(prefix, std::vector<TokenId>{scores[0].runner_up == 4 ? 5 : 4})[0].runner_up_logprob, 0);
}

TEST(RolloutEngine, RefusesBadRequests) {
  const auto model = testing::SmallPhi();
  RolloutEngine engine(*model, {});
  for (const RolloutRequest& bad :
       {RolloutRequest{{}, 1, 4, 0, 0}, RolloutRequest{{61}, 1, 4, 0, 0},
        RolloutRequest{{-1}, 1, 4, 0, 0}, RolloutRequest{{1}, 1, 0, 0, 0},
        RolloutRequest{{1, 2}, 1, 95, 0, 0}})
    EXPECT_THROW(engine.Sample({&bad, 1}, kQuiet), Error);
  EXPECT_THROW(RolloutEngine(*model, {.sampling = {.top_p = 2}}), Error);
  EXPECT_THROW(RolloutEngine(*model, {.batch = 0}), Error);
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
