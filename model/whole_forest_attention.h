// Apache-2.0. Attention over a whole forest in one call: its segments as a ragged batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/phi_config.h"
#include "model/token_forest.h"

namespace pivotal::model {

// A ragged batch of S sequences, packed one after another. Sequence s has the queries
// query_starts[s]..query_starts[s + 1] and the keys key_starts[s]..key_starts[s + 1]. Its queries
// are its last tokens: the last query attends to all keys, the one before to all but the last.
struct RaggedBatch {
  at::Tensor query_starts, key_starts;  // [S + 1] int32, on the device
  int64_t max_queries, max_keys;        // of one sequence
  double scale;                         // of scores
  int64_t window;                       // a query attends to the latest so many keys; 0: to all
};

// Computes query [Nq, H, D], key and value [Nk, KV heads, D] of a batch -> [Nq, H, D].
using RaggedKernel = std::function<at::Tensor(const at::Tensor& query, const at::Tensor& key,
                                              const at::Tensor& value, const RaggedBatch& batch)>;

// Returns flash attention (arXiv 2307.08691) for tensors with `options`; null where it cannot
// serve, as on the CPU and for more than 16 bits.
RaggedKernel FlashKernel(const PhiConfig& config, const at::TensorOptions& options);

// The segments of a forest as a ragged batch: the queries of a segment are its own nodes, its keys
// are the nodes of its path, from the root to its own last one.
struct RaggedPlan {
  std::vector<int64_t> keys;  // nodes of all paths, one path after another; empty: nodes in order
  std::vector<int64_t> query_starts, key_starts;  // [S + 1]
  int64_t max_queries = 0, max_keys = 0;
};
RaggedPlan PlanRagged(std::span<const TokenForest::Segment> segments);

// Attention over a forest by one call of a kernel.
class RaggedAttention {
 public:
  RaggedAttention(const PhiConfig& config, const TokenForest& forest, RaggedKernel kernel);

  // Computes query [N, H, D], key and value [N, KV heads, D] of all nodes -> [N, H * D].
  at::Tensor operator()(const at::Tensor& query, const at::Tensor& key,
                        const at::Tensor& value) const;

 private:
  RaggedKernel kernel_;
  RaggedBatch batch_;
  at::Tensor keys_;  // RaggedPlan::keys; undefined: nodes in order
};

}  // namespace pivotal::model
