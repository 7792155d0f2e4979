// Apache-2.0. Compares the log-probabilities of rollouts with those of full forward passes, which
// use no cache of keys and values.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <vector>

#include "model/phi_model.h"
#include "pivotal/policy.h"

namespace pivotal::testing {

// Returns the log-softmax of the logits after `tokens`, [vocab] in float32 or wider.
inline at::Tensor NextLogProbs(const model::PhiModel& model, const std::vector<TokenId>& tokens) {
  const c10::NoGradGuard no_grad;
  const std::vector<int64_t> ids(tokens.begin(), tokens.end());
  const at::Tensor row = at::tensor(ids, at::TensorOptions(at::kLong)).unsqueeze(0);
  const at::Tensor logits = model.Logits(model.Hidden(row))[0][-1];
  return at::log_softmax(logits.to(c10::promoteTypes(logits.scalar_type(), at::kFloat)), -1);
}

// Checks the log-probabilities of every rollout, sampled at temperature 1 without filters.
inline void ExpectLogProbsOfFullForward(const model::PhiModel& model,
                                        const std::vector<RolloutRequest>& requests,
                                        const std::vector<std::vector<Rollout>>& results) {
  ASSERT_EQ(results.size(), requests.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    ASSERT_EQ(results[i].size(), static_cast<std::size_t>(requests[i].count));
    for (const Rollout& rollout : results[i]) {
      std::vector<TokenId> tokens = requests[i].prefix;
      for (std::size_t t = 0; t < rollout.tokens.size(); ++t) {
        ASSERT_NEAR(rollout.logprobs[t],
                    NextLogProbs(model, tokens)[rollout.tokens[t]].item<float>(), 1e-4)
            << "request " << i << ", token " << t;
        tokens.push_back(rollout.tokens[t]);
      }
    }
  }
}

}  // namespace pivotal::testing
