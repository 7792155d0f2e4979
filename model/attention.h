// Apache-2.0. Scaled dot-product attention as LibTorch operators.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "model/phi_config.h"
#include "model/ragged_attention.h"
#include "model/token_forest.h"

namespace pivotal::model {

// Returns which keys, at positions 0..length-1, the queries at `positions` [B, T] (int64) attend
// to: those up to their own position, within the sliding window. Bool, [B, 1, T, length].
at::Tensor CausalMask(const PhiConfig& config, const at::Tensor& positions, int64_t length);

// Returns the same for Phi-3-small's block-sparse layers, whose heads differ: [B, H, T, length].
at::Tensor BlockSparseMask(const PhiConfig& config, const at::Tensor& positions, int64_t length);

// Computes query [B, T, H, D], key and value [B, S, KV heads, D] -> [B, T, H * D]. `mask` is bool,
// [B or 1, H or 1, T, S]; an undefined mask means causal attention with T = S.
at::Tensor Attend(const PhiConfig& config, const at::Tensor& query, const at::Tensor& key,
                  const at::Tensor& value, const at::Tensor& mask);

// Attention over a forest, one segment at a time. A segment computes scores only for its own tokens
// and those of its ancestors. Serves every type, device and kind of attention.
class SegmentAttention {
 public:
  // `sources` are the nodes to compute outputs for, ascending; empty means all nodes.
  SegmentAttention(const PhiConfig& config, const TokenForest& forest,
                   std::span<const int64_t> sources);

  // Computes query [U, H, D] of the sources, key and value [N, KV heads, D] of all nodes -> [U,
  // H * D].
  // `sparse` selects Phi-3-small's block-sparse attention.
  at::Tensor operator()(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                        bool sparse) const;

 private:
  // One segment, or a batch of consecutive segments of equal length without parents or children.
  struct Block {
    int64_t rows;               // segments in the batch
    std::vector<int64_t> path;  // indices of blocks from the root to this block, included
    at::Tensor mask, sparse_mask;
  };
  const PhiConfig& config_;
  std::vector<Block> blocks_;
  std::vector<int64_t> keys_, queries_;  // numbers of keys and queries of each block
};

// Attention of all layers over a forest. What it needs on the device is sent there once.
class ForestAttention {
 public:
  // `sources` are the nodes to compute outputs for in the last layer, ascending; empty means all.
  // `kernel`, if it is not null, computes a dense layer in one call.
  ForestAttention(const PhiConfig& config, const TokenForest& forest,
                  std::span<const int64_t> sources, const RaggedKernel& kernel = nullptr);

  // Computes query [N, H, D], key and value [N, KV heads, D] of all nodes -> [N, H * D], or of the
  // sources in the last layer -> [U, H * D].
  at::Tensor operator()(int64_t layer, const at::Tensor& query, const at::Tensor& key,
                        const at::Tensor& value) const;

  // The sources [U] (int64); undefined if they are all nodes.
  const at::Tensor& sources() const { return sources_; }

 private:
  const PhiConfig& config_;
  at::Tensor sources_;
  std::optional<RaggedAttention> ragged_;
  std::optional<SegmentAttention> everywhere_, at_sources_;
};

}  // namespace pivotal::model
