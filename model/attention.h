// Apache-2.0. Scaled dot-product attention.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/phi_config.h"
#include "model/token_forest.h"

namespace pivotal::model {

// query [B, T, H, D], key and value [B, S, KV heads, D] -> [B, T, H * D]. Heads share keys in groups.
// `mask` is bool, [B or 1, H or 1, T, S] (attention_mask.h); undefined: causal, T = S.
at::Tensor Attend(const PhiConfig& config, const at::Tensor& query, const at::Tensor& key,
                  const at::Tensor& value, const at::Tensor& mask);

// Attention over a forest, a stretch of it at a time: no pair of tokens is computed that the causal
// order forbids, but within a stretch.
class ForestAttention {
 public:
  // `sources`: the nodes, ascending, whose output is wanted; empty: all.
  ForestAttention(const PhiConfig& config, const TokenForest& forest,
                  std::span<const int64_t> sources);

  // query [U, H, D] of the sources, key and value [N, KV heads, D] -> [U, H * D]. `sparse`: as
  // Phi-3-small's block-sparse layers attend.
  at::Tensor operator()(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                        bool sparse) const;

 private:
  // One segment, or several of one shape that share nothing and have no children.
  struct Block {
    int64_t rows;
    std::vector<int64_t> path;  // blocks from the root on, itself included
    at::Tensor mask, sparse_mask;
  };
  const PhiConfig& config_;
  std::vector<Block> blocks_;
  std::vector<int64_t> keys_, queries_;  // of each block
};

}  // namespace pivotal::model
