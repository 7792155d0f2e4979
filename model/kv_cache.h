// Apache-2.0. Keys and values of past tokens, as LibTorch's operators read them.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/phi_config.h"

namespace pivotal::model {

// Where a forward pass keeps keys and values, and finds those of the past.
class Past {
 public:
  virtual ~Past() = default;

  // Stores keys and values [B, T, KV heads, D] of sequences 0..B-1 at `positions` [B, T] (int64).
  virtual void Write(int64_t layer, const at::Tensor& keys, const at::Tensor& values,
                     const at::Tensor& positions) = 0;

  // [rows, length, KV heads, D], by position. What lies past a sequence's length is masked by callers, and finite.
  virtual at::Tensor Keys(int64_t layer, int64_t rows, int64_t length) const = 0;
  virtual at::Tensor Values(int64_t layer, int64_t rows, int64_t length) const = 0;
};

// `slots` sequences of up to `capacity` tokens: per layer, keys and values [slots, capacity, KV
// heads, D]. Slots are filled from position 0.
class KvCache : public Past {
 public:
  KvCache(const PhiConfig& config, int64_t slots, int64_t capacity, const at::TensorOptions& options);

  void Write(int64_t layer, const at::Tensor& keys, const at::Tensor& values,
             const at::Tensor& positions) override;
  // Views.
  at::Tensor Keys(int64_t layer, int64_t rows, int64_t length) const override;
  at::Tensor Values(int64_t layer, int64_t rows, int64_t length) const override;

  // Copies the first `length` tokens of `source`'s slot `from` into slots to..to+count-1.
  void CopySlot(const KvCache& source, int64_t from, int64_t to, int64_t count, int64_t length);

  int64_t slots() const { return slots_; }
  int64_t capacity() const { return capacity_; }

 private:
  int64_t slots_, capacity_;
  std::vector<at::Tensor> keys_, values_;  // one a layer
};

}  // namespace pivotal::model
