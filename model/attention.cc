// Apache-2.0.
#include "model/attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "model/tensor_transfer.h"

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
  const int64_t step =
      sparse.same_for_all_heads ? 0 : std::max<int64_t>(1, sparse.vertical_stride / heads);
  const auto& options = positions.options();
  const auto block = [&](const at::Tensor& position) {
    return at::floor_divide(position, sparse.block);
  };
  const at::Tensor query = block(positions).unsqueeze(1).unsqueeze(3);  // [B, 1, T, 1]
  const at::Tensor key = block(at::arange(length, options)).view({1, 1, 1, length});
  const at::Tensor shift = (at::arange(heads, options) * step + 1).view({1, heads, 1, 1});
  const at::Tensor kept =
      (query - key).lt(sparse.local_blocks) | (key + shift).remainder(sparse.vertical_stride).eq(0);
  return CausalMask(config, positions, length) & kept;
}

at::Tensor Attend(const PhiConfig& config, const at::Tensor& query, const at::Tensor& key,
                  const at::Tensor& value, const at::Tensor& mask) {
  const int64_t batch = query.size(0), time = query.size(1), dim = config.head_dim;
  const int64_t heads = config.num_attention_heads, kv_heads = config.num_key_value_heads;
  const int64_t group = heads / kv_heads;
  const bool causal = !mask.defined();
  const auto attend = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const at::Tensor& m) {
    return at::scaled_dot_product_attention(
        q, k, v, causal ? std::nullopt : std::optional<at::Tensor>(m), 0.0, causal,
        config.attention_scale == 0 ? std::nullopt : std::optional<double>(config.attention_scale));
  };
  if (time == 1) {
    // The query heads of a group take the place of the time dimension, so that keys are read once.
    at::Tensor group_mask = mask;
    if (!causal && mask.size(1) > 1) group_mask = mask.reshape({mask.size(0), kv_heads, group, -1});
    return attend(query.reshape({batch, kv_heads, group, dim}), key.transpose(1, 2),
                  value.transpose(1, 2), group_mask)
        .reshape({batch, 1, heads * dim});
  }
  const auto repeat = [&](const at::Tensor& t) {
    return (group == 1 ? t : t.repeat_interleave(group, 2)).transpose(1, 2);
  };
  return attend(query.transpose(1, 2), repeat(key), repeat(value), mask)
      .transpose(1, 2)
      .reshape({batch, time, heads * dim});
}

SegmentAttention::SegmentAttention(const PhiConfig& config, const TokenForest& forest,
                                   std::span<const int64_t> sources)
    : config_(config) {
  std::set<int64_t> parents;
  for (const auto& segment : forest.segments) parents.insert(segment.parent);
  std::vector<int64_t> block_of;  // segment -> block
  int64_t node = 0;
  auto source = sources.begin();
  for (std::size_t i = 0; i < forest.segments.size();) {
    const TokenForest::Segment& segment = forest.segments[i];
    const auto alone = [&](std::size_t j) {
      return forest.segments[j].parent < 0 && !parents.contains(static_cast<int64_t>(j));
    };
    std::size_t end = i + 1;
    if (sources.empty() && alone(i)) {
      while (end < forest.segments.size() && alone(end) &&
             forest.segments[end].length == segment.length)
        ++end;
    }
    Block block{static_cast<int64_t>(end - i), {}, {}, {}};
    if (segment.parent >= 0) block.path = blocks_[block_of[segment.parent]].path;
    const auto self = static_cast<int64_t>(blocks_.size());
    block.path.push_back(self);
    block_of.insert(block_of.end(), end - i, self);

    std::vector<int64_t> positions;
    for (; source != sources.end() && *source < node + segment.length; ++source)
      positions.push_back(segment.depth + *source - node);
    node += block.rows * segment.length;
    const auto options = forest.tokens.options();
    const at::Tensor at_positions =
        (sources.empty() ? at::arange(segment.depth, segment.depth + segment.length, options)
                         : ToDevice(positions, options.device()))
            .unsqueeze(0);
    const int64_t queries = at_positions.size(1), keys = segment.depth + segment.length;
    const bool windowed = config.sliding_window > 0 && keys > config.sliding_window;
    if (queries > 0 && (segment.depth > 0 || queries < segment.length || windowed))
      block.mask = CausalMask(config, at_positions, keys);
    if (queries > 0 && config.block_sparse.block > 0)
      block.sparse_mask = BlockSparseMask(config, at_positions, keys);
    keys_.push_back(block.rows * segment.length);
    queries_.push_back(block.rows * queries);
    blocks_.push_back(std::move(block));
    i = end;
  }
}

at::Tensor SegmentAttention::operator()(const at::Tensor& query, const at::Tensor& key,
                                        const at::Tensor& value, bool sparse) const {
  const auto queries = query.split_with_sizes(queries_);
  const auto keys = key.split_with_sizes(keys_), values = value.split_with_sizes(keys_);
  const auto whole = [](const std::vector<at::Tensor>& parts, const Block& block) {
    if (block.path.size() == 1) return parts[block.path[0]];
    std::vector<at::Tensor> path;
    for (int64_t i : block.path) path.push_back(parts[i]);
    return at::cat(path);
  };
  const auto rows = [](const at::Tensor& t, const Block& block) {
    return t.view({block.rows, -1, t.size(-2), t.size(-1)});
  };
  std::vector<at::Tensor> out;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    const Block& block = blocks_[i];
    if (queries_[i] == 0) continue;
    out.push_back(Attend(config_, rows(queries[i], block), rows(whole(keys, block), block),
                         rows(whole(values, block), block), sparse ? block.sparse_mask : block.mask)
                      .flatten(0, 1));
  }
  return out.size() == 1 ? out.front() : at::cat(out);
}

ForestAttention::ForestAttention(const PhiConfig& config, const TokenForest& forest,
                                 std::span<const int64_t> sources, const RaggedKernel& kernel)
    : config_(config) {
  if (!sources.empty()) sources_ = ToDevice(sources, forest.tokens.device());
  if (kernel != nullptr) {
    const double scale = config.attention_scale == 0
                             ? 1 / std::sqrt(static_cast<double>(config.head_dim))
                             : config.attention_scale;
    ragged_.emplace(PlanRagged(forest.segments), scale, config.sliding_window,
                    forest.tokens.device(), kernel);
  }
  if (kernel != nullptr && config.block_sparse.block == 0) return;
  everywhere_.emplace(config, forest, std::span<const int64_t>());
  if (!sources.empty()) at_sources_.emplace(config, forest, sources);
}

at::Tensor ForestAttention::operator()(int64_t layer, const at::Tensor& query,
                                       const at::Tensor& key, const at::Tensor& value) const {
  const bool some = sources_.defined() && layer + 1 == config_.num_hidden_layers;
  const bool sparse = config_.IsBlockSparse(layer);
  if (ragged_ && !sparse) {
    // Sources lie anywhere in their segments, but the queries of a ragged batch are the last
    // tokens. Computing one layer for all nodes costs less than a path's keys for each source.
    const at::Tensor out = (*ragged_)(query, key, value);
    return some ? out.index_select(0, sources_) : out;
  }
  return some ? (*at_sources_)(query.index_select(0, sources_), key, value, sparse)
              : (*everywhere_)(query, key, value, sparse);
}

}  // namespace pivotal::model
