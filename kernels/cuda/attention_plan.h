// Apache-2.0. How a step's attention is dealt out to blocks of threads. Plain C++.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/decode_attention.h"
#include "kernels/paged_attention.h"

namespace pivotal::kernels::cuda {

struct AttentionPlanOptions {
  int64_t group = 1;          // heads that share keys
  int64_t window = 0;         // as in DecodeAttention
  int64_t part_tokens = 256;  // of a piece that one block of threads goes through; a multiple of kAttentionChunk
};

// What DecodeAttention points to, under its names, on the host.
struct AttentionPlan {
  std::vector<AttentionShare> shares;
  std::vector<int32_t> blocks, counts, lengths, part_ends;

  int64_t parts() const { return part_ends.back(); }

  // Of rows that are given by their pieces; those that begin with the same piece share it if they are neighbours. A row
  // without pieces gets zeros. Keeps its memory for the next step. Throws std::invalid_argument for bad options.
  void Make(std::span<const std::span<const KvPiece>> rows, const AttentionPlanOptions& options);

 private:
  using Rows = std::span<const std::span<const KvPiece>>;
  // Rows [first, last), whose pieces before `piece` are the same, `depth` tokens in `parts` parts.
  void Add(Rows rows, int64_t first, int64_t last, std::size_t piece, int64_t depth, int32_t parts,
           const AttentionPlanOptions& options);
};

}  // namespace pivotal::kernels::cuda
