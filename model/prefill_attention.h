// Apache-2.0. Attention of a prefill's rows as sequences of many queries each.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/paged_attention.h"
#include "model/decoder.h"

namespace pivotal::model {

// The rows of a prefill as a ragged batch: rows that follow one another in one sequence are one
// ragged sequence, whose keys are the whole sequence up to its last row.
struct PrefillPlan {
  // Returns nothing if rows and sequences of `rows` do not suit: if keys would be gathered more
  // than four times as often as there are rows. Rows that share their past then read it once by the
  // kernel for decode steps.
  static std::optional<PrefillPlan> Of(std::span<const DecodeRow> rows);

  std::vector<int64_t> query_ends = {0}, key_ends = {0};  // [sequences + 1]
  std::vector<int64_t> slots;                             // of all keys: block * 16 + token
  int64_t most_queries = 0, most_keys = 0;                // of one sequence
};

// The plan on a device.
class PrefillAttention {
 public:
  PrefillAttention(PrefillPlan plan, c10::Device device);

  // Returns attention [rows, heads, D] of `query` [rows, heads, D] to `keys` and `values` [slots,
  // KV heads, D]: each query to the keys of its sequence up to its own, by the window of `shape`.
  // On a GPU by LibTorch's flash attention, which takes 16-bit types and D that divide by 8; on a
  // CPU, for tests, by the definition.
  at::Tensor Attend(const kernels::AttentionShape& shape, const at::Tensor& query,
                    const at::Tensor& keys, const at::Tensor& values) const;

 private:
  PrefillPlan plan_;
  at::Tensor slots_, query_ends_, key_ends_;  // int64, int32, int32
};

}  // namespace pivotal::model
