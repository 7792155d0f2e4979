// Apache-2.0. Decoding by LibTorch's operators, on any device and in any type.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "model/decoder.h"

namespace pivotal::model {

// Keys and values in blocks, as tensors of the model's type on its device: one slot a token, and a
// spare slot at the end that is written and read where a token has none.
struct KvTensors {
  KvTensors(const PhiModel& model, int64_t blocks);

  int64_t spare_slot() const { return keys.front().size(0) - 1; }
  // Returns the slot to store a row's keys and values in; the spare one if they are stored already.
  int64_t SlotOf(const DecodeRow& row) const;
  // Stores keys and values [B, 1, KV heads, D] in `slots` [B] (int64).
  void Write(int64_t layer, const at::Tensor& slots, const at::Tensor& key,
             const at::Tensor& value);

  std::vector<at::Tensor> keys, values;  // one a layer: [blocks * 16 + 1, KV heads, D]
};

// Calls `on_logits` for rows first, first + 1, ... of a step, whose logits are `logits` [B, V],
// float32 on the CPU.
void GiveRows(const at::Tensor& logits, int64_t first, const Decoder::OnLogits& on_logits);

// Gathers the keys and values of each row's past into one tensor in every pass. The model must
// outlive the decoder.
class TensorDecoder : public Decoder {
 public:
  TensorDecoder(const PhiModel& model, const DecoderOptions& options);

  void Prefill(std::span<const DecodeRow> rows) override;
  void Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) override;
  int threads() const override { return 1; }

 private:
  // Returns final hidden states [B, hidden].
  at::Tensor Hidden(std::span<const DecodeRow> rows);

  const PhiModel& model_;
  KvTensors kv_;
};

}  // namespace pivotal::model
