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

bool IsPartLength(int64_t tokens) { return tokens > 0 && tokens % kAttentionChunk == 0; }

}  // namespace

void AttentionPlan::Make(Rows rows, const AttentionPlanOptions& options) {
  if (options.group < 1) throw Error("attention: the group must be at least 1");
  if (!IsPartLength(options.tile_tokens) || !IsPartLength(options.span_tokens))
    throw Error("attention: parts must be multiples of 32 tokens");
  spans.clear();
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
  Add(rows, 0, std::ssize(rows), 0, 0, options);
  for (std::size_t row = 0; row < rows.size(); ++row)
    if (lengths[row] == 0)
      spans.push_back({static_cast<int32_t>(row), 0, 0, 0, part_ends[row + 1]++});
  std::partial_sum(part_ends.begin(), part_ends.end(), part_ends.begin());
}

void AttentionPlan::Add(Rows rows, int64_t first, int64_t last, std::size_t piece, int64_t depth,
                        const AttentionPlanOptions& options) {
  for (int64_t end = first; first < last; first = end) {
    if (!HasPiece(rows[first], piece)) {
      ++end;
      continue;
    }
    const int32_t* const of = rows[first][piece].blocks;
    int64_t most = 0;
    for (; end < last && HasPiece(rows[end], piece) && rows[end][piece].blocks == of; ++end)
      most = std::max<int64_t>(most, rows[end][piece].count);
    const auto block = static_cast<int32_t>(blocks.size());
    blocks.insert(blocks.end(), of, of + (most + kBlockTokens - 1) / kBlockTokens);
    if (options.tiles && end - first > 1) {
      AddTiles(rows, first, end, {block, piece, depth}, options);
    } else {
      for (int64_t row = first; row < end; ++row)
        AddSpans(row, rows[row][piece].count, {block, piece, depth}, options);
    }
    // Only rows with the same number of tokens of this piece can have the next piece in common.
    for (int64_t begin = first, next = first; begin < end; begin = next) {
      const int32_t count = rows[begin][piece].count;
      while (next < end && rows[next][piece].count == count) ++next;
      Add(rows, begin, next, piece + 1, depth + count, options);
    }
  }
}

void AttentionPlan::AddTiles(Rows rows, int64_t first, int64_t last, const Place& place,
                             const AttentionPlanOptions& options) {
  const auto begins = static_cast<int32_t>(counts.size());
  int64_t low = INT64_MAX, most = 0;
  for (int64_t row = first; row < last; ++row) {
    counts.push_back(rows[row][place.piece].count);
    low = std::min(low, Low(row, place.depth, options));
    most = std::max<int64_t>(most, counts.back());
  }
  const int32_t parts = part_ends[first + 1];  // of the pieces before: the same for all these rows
  const int64_t step = options.tile_tokens;
  int32_t part = parts;
  for (int64_t from = low / step * step; from < most; from += step, ++part) {
    for (int64_t row = first; row < last; ++row)
      if (counts[begins + row - first] > from) part_ends[row + 1] = part + 1;
    for (int64_t q = first * options.group; q < last * options.group; q += kAttentionQueries) {
      const int64_t after = std::min(q + kAttentionQueries, last * options.group);
      const int64_t first_row = q / options.group - first;
      const int64_t last_row = (after - 1) / options.group - first;
      const int64_t to = *std::max_element(counts.begin() + begins + first_row,
                                           counts.begin() + begins + last_row + 1);
      if (to <= from) continue;  // no row of the tile has this part
      tiles.push_back({static_cast<int32_t>(q), static_cast<int32_t>(after), place.block,
                       static_cast<int32_t>(place.depth), static_cast<int32_t>(from),
                       static_cast<int32_t>(std::min(from + step, to)),
                       static_cast<int32_t>(begins + first_row), part});
    }
  }
}

void AttentionPlan::AddSpans(int64_t row, int64_t count, const Place& place,
                             const AttentionPlanOptions& options) {
  const int64_t step = options.span_tokens;
  for (int64_t from = Low(row, place.depth, options); from < count;) {
    const int64_t to = std::min(from / step * step + step, count);
    spans.push_back({static_cast<int32_t>(row), place.block, static_cast<int32_t>(from),
                     static_cast<int32_t>(to), part_ends[row + 1]++});
    from = to;
  }
}

int64_t AttentionPlan::Low(int64_t row, int64_t depth, const AttentionPlanOptions& options) const {
  return options.window > 0 ? std::max<int64_t>(0, lengths[row] - options.window - depth) : 0;
}

}  // namespace pivotal::kernels::cuda
