// Apache-2.0. Many completions at once: continuous batching over shared trunks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "kernels/packed_matrix.h"
#include "kernels/sample_row.h"
#include "model/decoder.h"
#include "model/phi_model.h"
#include "model/policy.h"

namespace pivotal::model {

class TrunkMemory;

// Throws Error that names the field and its range.
void CheckSampling(const kernels::SamplingParams& params);

struct EngineOptions {
  kernels::SamplingParams sampling = {};
  uint64_t seed = 1;
  int32_t batch = 256;            // rollouts that decode at once
  int32_t prefill_tokens = 512;   // of prefixes, in a pass
  int64_t kv_memory = 0;          // bytes for keys and values; 0: half of what is free, on a GPU four fifths
  // How weights are stored; nothing: as in the model.
  std::optional<kernels::WeightType> weights = {};
  // Called for every sampled token, e.g. to stream; (request, rollout, token).
  std::function<void(int32_t, int32_t, TokenId)> on_token = {};
  // Throws Error that names the field and its range.
  void Validate() const;
};

// The policy of a PhiModel as its weights are now: they are prepared once, and later changes are not seen. Prefixes
// that begin alike are computed once and kept, for later calls too, as long as `kv_memory` allows;
// rollouts share them wherever they leave. A finished rollout's place is taken by the next one at once; those that
// find no memory wait. The model must outlive it.
//
// On a CPU a rollout depends on nothing but the weights, its prefix, the sampling parameters and its key
// (seed, stream, rollout), to the bit: not on the batch, the order, other requests, threads, or
// whether the CPU has AVX2 or AVX-512.
class RolloutEngine : public Policy {
 public:
  using MakesDecoder = std::function<std::unique_ptr<Decoder>(const PhiModel&, const DecoderOptions&)>;
  // Throws Error if the memory holds no block of keys and values.
  RolloutEngine(const PhiModel& model, EngineOptions options, const MakesDecoder& make = MakeDecoder);
  ~RolloutEngine() override;

  // Throws Error if a prefix is empty, has an id outside the vocabulary, prefix plus max_new_tokens is longer
  // than max_position_embeddings, or a single rollout does not fit in `kv_memory`.
  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished = {}) override;
  std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                std::span<const TokenId> continuation) override;
  const RolloutCounters& counters() const override { return counters_; }
  const Decoder& decoder() const { return *decoder_; }

 private:
  const PhiModel& model_;
  EngineOptions options_;
  RolloutCounters counters_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<TrunkMemory> trunks_;
};

}  // namespace pivotal::model
