// Apache-2.0.
#include "model/prefill_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "model/tensor_transfer.h"

namespace pivotal::model {
namespace {

// Returns true if `next` is the token after `row` in the same sequence.
bool Follows(const DecodeRow& next, const DecodeRow& row) {
  if (next.position != row.position + 1 || next.pieces.size() < row.pieces.size()) return false;
  // All pieces but the last of `row` are equal; the last goes on, or ends and another begins.
  int64_t tokens = 0;
  for (std::size_t i = 0; i < row.pieces.size(); ++i) {
    if (next.pieces[i].blocks != row.pieces[i].blocks) return false;
    if (i + 1 < row.pieces.size() && next.pieces[i].count != row.pieces[i].count) return false;
    tokens += next.pieces[i].count;
  }
  return tokens >= row.position + 1;
}

// Attention of queries [Tq, heads, D], the last ones of a sequence, to keys and values [Tk, KV
// heads, D], by the definition.
at::Tensor AttendSequence(const kernels::AttentionShape& shape, const at::Tensor& query,
                          const at::Tensor& key, const at::Tensor& value) {
  const auto wide = [](const at::Tensor& x) { return x.to(at::kFloat).transpose(0, 1); };
  const auto repeated = [&](const at::Tensor& x) {
    return wide(x).repeat_interleave(shape.group(), 0);  // [heads, Tk, D]
  };
  at::Tensor scores = at::matmul(wide(query), repeated(key).transpose(1, 2)) * double{shape.scale};
  const int64_t queries = query.size(0), keys = key.size(0);
  const at::Tensor place = at::arange(keys - queries, keys, at::kLong).unsqueeze(1);
  const at::Tensor other = at::arange(keys, at::kLong);
  scores.masked_fill_(other > place, -std::numeric_limits<double>::infinity());
  if (shape.window > 0)
    scores.masked_fill_(other <= place - shape.window, -std::numeric_limits<double>::infinity());
  return at::matmul(scores.softmax(-1), repeated(value)).transpose(0, 1).to(query.scalar_type());
}

}  // namespace

std::optional<PrefillPlan> PrefillPlan::Of(std::span<const DecodeRow> rows) {
  PrefillPlan plan;
  const auto count = std::ssize(rows);
  for (int64_t first = 0, end = 0; first < count; first = end) {
    for (end = first + 1; end < count && Follows(rows[end], rows[end - 1]);) ++end;
    const DecodeRow& last = rows[end - 1];
    const int64_t keys = last.position + 1;
    if (std::ssize(plan.slots) + keys > 4 * count) return {};
    for (const kernels::KvPiece& piece : last.pieces)
      for (int32_t i = 0; i < piece.count; ++i)
        plan.slots.push_back(int64_t{piece.blocks[i / kernels::kBlockTokens]} *
                                 kernels::kBlockTokens +
                             i % kernels::kBlockTokens);
    plan.query_ends.push_back(end);
    plan.key_ends.push_back(std::ssize(plan.slots));
    plan.most_queries = std::max(plan.most_queries, end - first);
    plan.most_keys = std::max(plan.most_keys, keys);
  }
  return plan;
}

PrefillAttention::PrefillAttention(PrefillPlan plan, c10::Device device)
    : plan_(std::move(plan)),
      slots_(ToDevice(plan_.slots, device)),
      query_ends_(ToDevice(plan_.query_ends, device).to(at::kInt)),
      key_ends_(ToDevice(plan_.key_ends, device).to(at::kInt)) {}

at::Tensor PrefillAttention::Attend(const kernels::AttentionShape& shape, const at::Tensor& query,
                                    const at::Tensor& keys, const at::Tensor& values) const {
  const at::Tensor key = keys.index_select(0, slots_), value = values.index_select(0, slots_);
  if (query.is_cpu()) {
    std::vector<at::Tensor> parts;
    for (std::size_t s = 1; s < plan_.query_ends.size(); ++s) {
      const int64_t queries = plan_.query_ends[s - 1], first = plan_.key_ends[s - 1];
      parts.push_back(AttendSequence(shape, query.slice(0, queries, plan_.query_ends[s]),
                                     key.slice(0, first, plan_.key_ends[s]),
                                     value.slice(0, first, plan_.key_ends[s])));
    }
    return at::cat(parts);
  }
  // Flash attention aligns the causal mask to the end of each sequence, as its queries lie there.
  const std::optional<int64_t> left =
      shape.window > 0 ? std::optional(shape.window - 1) : std::nullopt;
  const std::optional<int64_t> right = shape.window > 0 ? std::optional<int64_t>(0) : std::nullopt;
  return std::get<0>(at::_flash_attention_forward(
      query, key, value, query_ends_, key_ends_, plan_.most_queries, plan_.most_keys,
      /*dropout_p=*/0, /*is_causal=*/true, /*return_debug_mask=*/false, double{shape.scale}, left,
      right));
}

}  // namespace pivotal::model
