// Apache-2.0.
#include "model/kv_cache.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

namespace pivotal::model {

KvCache::KvCache(const PhiConfig& config, int64_t slots, int64_t capacity,
                 const at::TensorOptions& options)
    : slots_(slots), capacity_(capacity) {
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    // Zeroed: a masked score times garbage must not become NaN.
    const int64_t shape[] = {slots, capacity, config.num_key_value_heads, config.head_dim};
    keys_.push_back(at::zeros(shape, options));
    values_.push_back(at::zeros(shape, options));
  }
}

void KvCache::Write(int64_t layer, const at::Tensor& keys, const at::Tensor& values,
                    const at::Tensor& positions) {
  const int64_t rows = positions.size(0);
  const at::Tensor base = at::arange(rows, positions.options()).mul_(capacity_).unsqueeze_(1);
  const at::Tensor index = (positions + base).flatten();
  const auto store = [&](at::Tensor& cache, const at::Tensor& fresh) {
    cache.flatten(0, 1).index_copy_(0, index, fresh.flatten(0, 1));
  };
  store(keys_[layer], keys);
  store(values_[layer], values);
}

at::Tensor KvCache::Keys(int64_t layer, int64_t rows, int64_t length) const {
  return keys_[layer].narrow(0, 0, rows).narrow(1, 0, length);
}

at::Tensor KvCache::Values(int64_t layer, int64_t rows, int64_t length) const {
  return values_[layer].narrow(0, 0, rows).narrow(1, 0, length);
}

void KvCache::CopySlot(const KvCache& source, int64_t from, int64_t to, int64_t count,
                       int64_t length) {
  const auto copy = [&](at::Tensor& target, const at::Tensor& origin) {
    target.narrow(0, to, count).narrow(1, 0, length).copy_(
        origin.select(0, from).narrow(0, 0, length).unsqueeze(0));
  };
  for (std::size_t layer = 0; layer < keys_.size(); ++layer) {
    copy(keys_[layer], source.keys_[layer]);
    copy(values_[layer], source.values_[layer]);
  }
}

}  // namespace pivotal::model
