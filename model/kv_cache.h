// Apache-2.0. Keys and values of past tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/phi_config.h"

namespace pivotal::model {

// `slots` sequences of up to `capacity` tokens: per layer, keys and values [slots, capacity, KV
// heads, D]. Slots are filled from position 0; what lies past a slot's length is masked by callers.
class KvCache {
 public:
  KvCache(const PhiConfig& config, int64_t slots, int64_t capacity, const at::TensorOptions& options);

  // Stores keys and values [B, T, KV heads, D] of slots 0..B-1 at `positions` [B, T] (int64).
  void Write(int64_t layer, const at::Tensor& keys, const at::Tensor& values,
             const at::Tensor& positions);

  // Views [rows, length, KV heads, D].
  at::Tensor Keys(int64_t layer, int64_t rows, int64_t length) const;
  at::Tensor Values(int64_t layer, int64_t rows, int64_t length) const;

  // Copies the first `length` tokens of `source`'s slot `from` into slots to..to+count-1.
  void CopySlot(const KvCache& source, int64_t from, int64_t to, int64_t count, int64_t length);

  int64_t slots() const { return slots_; }
  int64_t capacity() const { return capacity_; }

 private:
  int64_t slots_, capacity_;
  std::vector<at::Tensor> keys_, values_;  // one a layer
};

}  // namespace pivotal::model
