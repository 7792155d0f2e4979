// Apache-2.0. Divides the attention of a decoding step into tiles for blocks of threads. Host code.
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
  int64_t part_tokens = 256;  // tokens of a part; a multiple of kAttentionChunk
};

// The arrays that DecodeAttention points to, under the same names, on the host.
struct AttentionPlan {
  std::vector<AttentionTile> tiles;
  std::vector<int32_t> blocks, counts, lengths, part_ends;

  int64_t parts() const { return part_ends.back(); }

  // Plans rows that are given by their pieces. Adjacent rows read common leading pieces once. A row
  // without pieces gets zeros as its result. Memory is kept for the next call. Throws Error
  // for bad options.
  void Make(std::span<const std::span<const KvPiece>> rows, const AttentionPlanOptions& options);

 private:
  using Rows = std::span<const std::span<const KvPiece>>;
  // Adds rows [first, last), which have all pieces before `piece` in common: `depth` tokens in
  // `parts` parts.
  void Add(Rows rows, int64_t first, int64_t last, std::size_t piece, int64_t depth, int32_t parts,
           const AttentionPlanOptions& options);
};

}  // namespace pivotal::kernels::cuda
