// Apache-2.0. Divides the attention of a decoding step into work for warps and for blocks of
// threads. Host code.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/decode_attention.h"
#include "kernels/paged_attention.h"

namespace pivotal::kernels::cuda {

struct AttentionPlanOptions {
  int64_t group = 1;          // query heads per KV head
  int64_t window = 0;         // as in DecodeAttention
  bool tiles = false;         // whether pieces that rows have in common are read in tiles
  int64_t tile_tokens = 256;  // tokens of a tile's part; a multiple of kAttentionChunk
  int64_t span_tokens = 128;  // tokens of a span, at most; likewise
};

// The arrays that DecodeAttention points to, under the same names, on the host.
struct AttentionPlan {
  std::vector<AttentionSpan> spans;
  std::vector<AttentionTile> tiles;
  std::vector<int32_t> blocks, counts, lengths, part_ends;

  int64_t parts() const { return part_ends.back(); }

  // Plans rows that are given by their pieces. Where tiles are wanted, adjacent rows read common
  // leading pieces once. A row without pieces gets a span without tokens, whose result is zeros.
  // Memory is kept for the next call. Throws Error for bad options.
  void Make(std::span<const std::span<const KvPiece>> rows, const AttentionPlanOptions& options);

 private:
  using Rows = std::span<const std::span<const KvPiece>>;
  // Where a piece begins: its index among the blocks and among a row's pieces, and the number of
  // tokens before it.
  struct Place {
    int32_t block;
    std::size_t piece;
    int64_t depth;
  };
  // Adds rows [first, last), which have all pieces before `piece` in common: `depth` tokens.
  // Meanwhile part_ends[row + 1] is the number of parts of a row so far.
  void Add(Rows rows, int64_t first, int64_t last, std::size_t piece, int64_t depth,
           const AttentionPlanOptions& options);
  // Adds a piece that several rows have in common. A row has the parts that begin before its end.
  void AddTiles(Rows rows, int64_t first, int64_t last, const Place& place,
                const AttentionPlanOptions& options);
  // Adds `count` tokens of a piece for one row.
  void AddSpans(int64_t row, int64_t count, const Place& place,
                const AttentionPlanOptions& options);
  // Returns the first token that a row attends to of a piece after `depth` tokens.
  int64_t Low(int64_t row, int64_t depth, const AttentionPlanOptions& options) const;
};

}  // namespace pivotal::kernels::cuda
