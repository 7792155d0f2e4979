// Apache-2.0.
#include "model/prefill_plan.h"

#include <algorithm>

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

}  // namespace

std::optional<RaggedPlan> PlanPrefill(std::span<const DecodeRow> rows) {
  RaggedPlan plan;
  const auto count = std::ssize(rows);
  for (int64_t first = 0, end = 0; first < count; first = end) {
    for (end = first + 1; end < count && Follows(rows[end], rows[end - 1]);) ++end;
    const DecodeRow& last = rows[end - 1];
    const int64_t keys = last.position + 1;
    if (std::ssize(plan.keys) + keys > 4 * count) return {};
    for (const kernels::KvPiece& piece : last.pieces)
      for (int32_t i = 0; i < piece.count; ++i)
        plan.keys.push_back(int64_t{piece.blocks[i / kernels::kBlockTokens]} *
                                kernels::kBlockTokens +
                            i % kernels::kBlockTokens);
    plan.query_starts.push_back(end);
    plan.key_starts.push_back(std::ssize(plan.keys));
    plan.max_queries = std::max(plan.max_queries, end - first);
    plan.max_keys = std::max(plan.max_keys, keys);
  }
  return plan;
}

}  // namespace pivotal::model
