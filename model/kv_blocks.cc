// Apache-2.0.
#include "model/kv_blocks.h"

#include <algorithm>

namespace pivotal::model {

bool KvBlocks::Promise(int64_t count) {
  if (count > available()) return false;
  promised_ += count;
  return true;
}

int32_t KvBlocks::Take() {
  --promised_;
  peak_ = std::max(peak_, ++taken_);
  if (free_.empty()) return untouched_++;
  return free_.extract(free_.begin()).value();
}

void KvBlocks::Return(std::vector<int32_t>& blocks) {
  taken_ -= static_cast<int64_t>(blocks.size());
  free_.insert(blocks.begin(), blocks.end());
  blocks.clear();
}

int64_t KvBytesPerToken(const PhiConfig& config, int64_t element_bytes) {
  const kernels::AttentionShape shape{.kv_heads = config.num_key_value_heads, .head_dim = config.head_dim};
  return config.num_hidden_layers * (shape.block_size() / kernels::kBlockTokens) * element_bytes;
}

}  // namespace pivotal::model
