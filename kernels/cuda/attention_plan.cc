// Apache-2.0.
#include "kernels/cuda/attention_plan.h"

#include <algorithm>
#include <numeric>

#include "pivotal/error.h"

namespace pivotal::kernels::cuda {
namespace {

bool HasPiece(std::span<const KvPiece> pieces, std::size_t piece) {
  return piece < pieces.size() && pieces[piece].count > 0;
}

}  // namespace

void AttentionPlan::Make(Rows rows, const AttentionPlanOptions& options) {
  if (options.group < 1) throw Error("attention: the group must be at least 1");
  if (options.part_tokens < 1 || options.part_tokens % kAttentionChunk != 0)
    throw Error("attention: parts must be multiples of 32 tokens");
  tiles.clear();
  blocks.clear();
  counts.clear();
  lengths.clear();
  for (const auto pieces : rows) {
    int32_t length = 0;
    for (const KvPiece& piece : pieces) length += piece.count;
    lengths.push_back(length);
  }
  part_ends.assign(rows.size() + 1, 0);
  Add(rows, 0, std::ssize(rows), 0, 0, 0, options);
  std::partial_sum(part_ends.begin(), part_ends.end(), part_ends.begin());
}

void AttentionPlan::Add(Rows rows, int64_t first, int64_t last, std::size_t piece, int64_t depth,
                        int32_t parts, const AttentionPlanOptions& options) {
  for (int64_t end = first; first < last; first = end) {
    if (!HasPiece(rows[first], piece)) {
      part_ends[first + 1] = parts;
      ++end;
      continue;
    }
    const int32_t* const of = rows[first][piece].blocks;
    const auto begins = static_cast<int32_t>(counts.size());
    int64_t low = INT64_MAX, high = 0;
    for (; end < last && HasPiece(rows[end], piece) && rows[end][piece].blocks == of; ++end) {
      const int64_t count = rows[end][piece].count;
      counts.push_back(static_cast<int32_t>(count));
      low = std::min(low, options.window > 0
                              ? std::max<int64_t>(0, lengths[end] - options.window - depth)
                              : 0);
      high = std::max(high, count);
    }
    const auto block = static_cast<int32_t>(blocks.size());
    blocks.insert(blocks.end(), of, of + (high + kBlockTokens - 1) / kBlockTokens);
    int32_t after = parts;
    for (int64_t from = low / options.part_tokens * options.part_tokens; from < high;
         from += options.part_tokens, ++after)
      for (int64_t q = first * options.group; q < end * options.group; q += kAttentionQueries)
        tiles.push_back({static_cast<int32_t>(q),
                         static_cast<int32_t>(std::min(q + kAttentionQueries, end * options.group)),
                         block, static_cast<int32_t>(depth), static_cast<int32_t>(from),
                         static_cast<int32_t>(std::min(from + options.part_tokens, high)),
                         static_cast<int32_t>(begins + q / options.group - first), after});
    // Only rows with the same number of tokens of this piece can have the next piece in common.
    for (int64_t begin = first, next = first; begin < end; begin = next) {
      const int32_t count = rows[begin][piece].count;
      while (next < end && rows[next][piece].count == count) ++next;
      Add(rows, begin, next, piece + 1, depth + count, after, options);
    }
  }
}

}  // namespace pivotal::kernels::cuda
