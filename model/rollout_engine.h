// Apache-2.0. Many completions at once: continuous batching over one KV cache.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/sample_row.h"
#include "model/phi_model.h"
#include "model/policy.h"

namespace pivotal::model {

struct EngineOptions {
  kernels::SamplingParams sampling = {};
  uint64_t seed = 1;
  int32_t batch = 256;             // rollouts that decode at once
  int32_t prefill_tokens = 4096;   // padded prompt tokens per prefill pass
  // Called for every sampled token, e.g. to stream; (request, rollout, token).
  std::function<void(int32_t, int32_t, TokenId)> on_token = {};
  // Throws Error that names the field and its range.
  void Validate() const;
};

// The policy of a PhiModel. Each request's prefix is prefilled once and copied to its rollouts'
// slots; a finished rollout frees its slot at once for the next one. The model must outlive it.
class RolloutEngine : public Policy {
 public:
  RolloutEngine(const PhiModel& model, EngineOptions options);
  ~RolloutEngine() override;

  // Throws Error if a prefix is empty, has an id outside the vocabulary, or prefix plus
  // max_new_tokens is longer than max_position_embeddings.
  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished = {}) override;
  std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                std::span<const TokenId> continuation) override;
  const RolloutCounters& counters() const override { return counters_; }

 private:
  class Batch;
  at::Tensor StepwiseHidden(const at::Tensor& tokens) const;

  const PhiModel& model_;
  EngineOptions options_;
  RolloutCounters counters_;
  std::unique_ptr<KvCache> cache_;  // kept between calls
};

}  // namespace pivotal::model
