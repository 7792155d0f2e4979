// Apache-2.0.
#include "model/attention_mask.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>

#include <algorithm>

namespace pivotal::model {

at::Tensor CausalMask(const PhiConfig& config, const at::Tensor& positions, int64_t length) {
  const at::Tensor query = positions.unsqueeze(1).unsqueeze(3);  // [B, 1, T, 1]
  const at::Tensor key = at::arange(length, positions.options());
  const at::Tensor mask = key.le(query);
  return config.sliding_window > 0 ? mask & key.gt(query - config.sliding_window) : mask;
}

at::Tensor BlockSparseMask(const PhiConfig& config, const at::Tensor& positions, int64_t length) {
  const BlockSparseConfig& sparse = config.block_sparse;
  const int64_t heads = config.num_attention_heads;
  const int64_t step = sparse.same_for_all_heads
                           ? 0 : std::max<int64_t>(1, sparse.vertical_stride / heads);
  const auto& options = positions.options();
  const auto block = [&](const at::Tensor& position) {
    return at::floor_divide(position, sparse.block);
  };
  const at::Tensor query = block(positions).unsqueeze(1).unsqueeze(3);       // [B, 1, T, 1]
  const at::Tensor key = block(at::arange(length, options)).view({1, 1, 1, length});
  const at::Tensor shift = (at::arange(heads, options) * step + 1).view({1, heads, 1, 1});
  const at::Tensor kept = (query - key).lt(sparse.local_blocks) |
                          (key + shift).remainder(sparse.vertical_stride).eq(0);
  return CausalMask(config, positions, length) & kept;
}

}  // namespace pivotal::model
