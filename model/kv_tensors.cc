// Apache-2.0.
#include "model/kv_tensors.h"

#include <ATen/ops/zeros.h>

namespace pivotal::model {

KvTensors::KvTensors(const PhiModel& model, int64_t blocks) {
  const PhiConfig& config = model.config();
  const int64_t shape[] = {blocks * kernels::kBlockTokens + 1, config.num_key_value_heads, config.head_dim};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    keys.push_back(at::zeros(shape, model.options()));
    values.push_back(at::zeros(shape, model.options()));
  }
}

int64_t KvTensors::Place(const DecodeRow& row) const {
  return row.block < 0 ? nowhere() : row.block * kernels::kBlockTokens + row.offset;
}

void KvTensors::Write(int64_t layer, const at::Tensor& places, const at::Tensor& key, const at::Tensor& value) {
  keys[layer].index_copy_(0, places, key.flatten(0, 1));
  values[layer].index_copy_(0, places, value.flatten(0, 1));
}

void GiveRows(const at::Tensor& logits, int64_t first, int64_t last, const Decoder::OnLogits& on_logits) {
  // A copy: `on_logits` may overwrite it.
  const at::Tensor rows = logits.slice(0, first, last).to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true).contiguous();
  const int64_t vocab = rows.size(1);
  for (int64_t i = 0; i < rows.size(0); ++i)
    on_logits(first + i, 0, {rows.mutable_data_ptr<float>() + i * vocab, static_cast<std::size_t>(vocab)});
}

}  // namespace pivotal::model
