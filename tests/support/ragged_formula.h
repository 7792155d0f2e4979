// Apache-2.0. Attention of a ragged batch by its formula.
#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/softmax.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "model/ragged_attention.h"

namespace pivotal::testing {

// Computes what RaggedBatch says by the formula of attention, one sequence after another, in
// float32 or wider. In place of a RaggedKernel, on any device.
inline at::Tensor ByFormula(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                            const model::RaggedBatch& batch) {
  const int64_t group = query.size(1) / key.size(1);
  const auto start = [](const at::Tensor& starts, int64_t i) { return starts[i].item<int64_t>(); };
  const at::ScalarType wide = c10::promoteTypes(query.scalar_type(), at::kFloat);
  std::vector<at::Tensor> out;
  for (int64_t s = 0; s + 1 < batch.query_starts.size(0); ++s) {
    const auto of = [&](const at::Tensor& t, const at::Tensor& starts) {
      return t.slice(0, start(starts, s), start(starts, s + 1)).to(wide);
    };
    const at::Tensor q = of(query, batch.query_starts);
    const at::Tensor k = of(key, batch.key_starts).repeat_interleave(group, 1);
    const at::Tensor v = of(value, batch.key_starts).repeat_interleave(group, 1);
    EXPECT_LE(q.size(0), batch.max_queries);
    EXPECT_LE(k.size(0), batch.max_keys);
    const at::Tensor at_key = at::arange(k.size(0), batch.key_starts.options());
    const at::Tensor at_query =
        at::arange(k.size(0) - q.size(0), k.size(0), batch.key_starts.options()).unsqueeze(1);
    at::Tensor hidden = at_key.gt(at_query);
    if (batch.window > 0) hidden = hidden | at_key.le(at_query - batch.window);
    const at::Tensor scores = (at::einsum("qhd,khd->hqk", {q, k}) * batch.scale)
                                  .masked_fill(hidden, -std::numeric_limits<double>::infinity());
    out.push_back(at::einsum("hqk,khd->qhd", {at::softmax(scores, -1), v}));
  }
  return at::cat(out).to(query.scalar_type());
}

}  // namespace pivotal::testing
