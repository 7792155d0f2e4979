// Apache-2.0. Attention of a ragged batch in one call: of the segments of a forest, or of prefixes.
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

// Where the queries and the keys of a ragged batch lie, on the host.
struct RaggedPlan {
  std::vector<int64_t> keys;  // places of all keys, one sequence after another; empty: in order
  std::vector<int64_t> query_starts = {0}, key_starts = {0};  // [S + 1]
  int64_t max_queries = 0, max_keys = 0;                      // of one sequence
};

// Plans a forest: the queries of a segment are its own nodes, its keys are the nodes of its path,
// from the root to its own last one.
RaggedPlan PlanRagged(std::span<const TokenForest::Segment> segments);

// Attention of a planned batch by one call of a kernel.
class RaggedAttention {
 public:
  // Sends the plan to `device`. `scale` and `window` are RaggedBatch's.
  RaggedAttention(const RaggedPlan& plan, double scale, int64_t window, c10::Device device,
                  RaggedKernel kernel);

  // Computes query [N, H, D] of the batch, with key and value [M, KV heads, D], of which the plan
  // says where its keys lie -> [N, H * D].
  at::Tensor operator()(const at::Tensor& query, const at::Tensor& key,
                        const at::Tensor& value) const;

 private:
  RaggedKernel kernel_;
  RaggedBatch batch_;
  at::Tensor keys_;  // RaggedPlan::keys; undefined: nodes in order
};

}  // namespace pivotal::model
