// Apache-2.0.
#include "model/attention_shape.h"

#include <algorithm>
#include <cmath>

namespace pivotal::model {

kernels::AttentionShape ShapeOf(const PhiConfig& config) {
  kernels::AttentionShape shape;
  shape.heads = config.num_attention_heads;
  shape.kv_heads = config.num_key_value_heads;
  shape.head_dim = config.head_dim;
  shape.scale = static_cast<float>(config.attention_scale != 0 ? config.attention_scale
                                                               : 1.0 / std::sqrt(config.head_dim));
  shape.window = config.sliding_window;
  const BlockSparseConfig& sparse = config.block_sparse;
  shape.sparse_block = sparse.block;
  shape.sparse_local = sparse.local_blocks;
  shape.sparse_stride = sparse.vertical_stride;
  shape.sparse_head_step =
      sparse.same_for_all_heads ? 0 : std::max<int64_t>(1, sparse.vertical_stride / shape.heads);
  return shape;
}

}  // namespace pivotal::model
