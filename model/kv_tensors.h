// Apache-2.0. Keys and values in blocks, as tensors of the model's type on its device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/decoder.h"

namespace pivotal::model {

struct KvTensors {
  KvTensors(const PhiModel& model, int64_t blocks);

  // Where a row's keys and values go; the last place where they are there already.
  int64_t Place(const DecodeRow& row) const;
  int64_t nowhere() const { return keys.front().size(0) - 1; }
  // Keys and values [B, 1, KV heads, D] to `places` [B].
  void Write(int64_t layer, const at::Tensor& places, const at::Tensor& key, const at::Tensor& value);

  // Per layer [blocks * 16 + 1, KV heads, D]; the last place is nobody's.
  std::vector<at::Tensor> keys, values;
};

// Calls `on_logits` for rows [first, last) of `logits` [B, V], of any type and on any device.
void GiveRows(const at::Tensor& logits, int64_t first, int64_t last, const Decoder::OnLogits& on_logits);

}  // namespace pivotal::model
