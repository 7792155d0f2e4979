// Apache-2.0. The rollout engine: samples many completions at once, by continuous batching over
// shared prefixes.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "kernels/packed_matrix.h"
#include "kernels/sample_row.h"
#include "model/decoder.h"
#include "model/phi_model.h"
#include "pivotal/policy.h"

namespace pivotal::model {

class TrunkCache;

struct EngineOptions {
  SamplingParams sampling = {};
  uint64_t seed = 1;
  int32_t batch = 256;           // rollouts that decode at once
  int32_t prefill_tokens = 512;  // tokens of prefixes that one forward pass computes
  // Bytes for keys and values; 0: half of the free memory, on a GPU four fifths.
  int64_t kv_memory = 0;
  // How weights are stored; none: in the model's type.
  std::optional<kernels::WeightType> weights = {};
  bool timed = false;  // takes times on the device: Decoder::device_times()
  // Receives every sampled token at once: (request, rollout, token).
  std::function<void(int32_t, int32_t, TokenId)> on_token = {};
  // Throws Error that names the field and its range.
  void Validate() const;
};

// Returns the part of a device's free memory that keys and values take.
int64_t KvShare(c10::Device device, int64_t free);

// The policy of a PhiModel. The engine copies the weights once; later changes are not seen. It
// computes common beginnings of prefixes once and keeps them, for later calls too, while
// `kv_memory` allows. When a rollout ends, the next one starts in the following step; rollouts wait
// while memory is short. The model must outlive the engine.
//
// On a CPU a rollout depends only on the weights, its prefix, the sampling parameters and its key
// (seed, stream, rollout), to the bit: not on the batch, the order, other requests, threads, or
// whether the CPU has AVX2 or AVX-512.
class RolloutEngine : public Policy {
 public:
  using MakesDecoder =
      std::function<std::unique_ptr<Decoder>(const PhiModel&, const DecoderOptions&)>;
  // `make` makes the decoder. Throws Error if the memory is too small for one block of keys and
  // values.
  RolloutEngine(const PhiModel& model, EngineOptions options,
                const MakesDecoder& make = MakeDecoder);
  ~RolloutEngine() override;

  // Throws Error if a prefix is empty, has an id outside the vocabulary, prefix plus max_new_tokens
  // is longer than max_position_embeddings, or a single rollout does not fit in `kv_memory`.
  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished = {}) override;
  std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                std::span<const TokenId> continuation) override;
  RolloutCounters counters() const override { return counters_; }
  const Decoder& decoder() const { return *decoder_; }

 private:
  std::vector<TokenScore> ScoreTokens(std::span<const TokenId> prefix,
                                      std::span<const TokenId> continuation);

  const PhiModel& model_;
  EngineOptions options_;
  RolloutCounters counters_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<TrunkCache> trunks_;
};

}  // namespace pivotal::model
