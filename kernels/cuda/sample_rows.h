// Apache-2.0. Samples tokens from rows of logits on a GPU, under the sampling policy of
// kernels/sample_row.h.
#pragma once

#include <cstdint>

#include "pivotal/sampling.h"

namespace pivotal::kernels::cuda {

inline constexpr int64_t kMaxVocab = int64_t{1} << 19;

// Samples one token from each row. Tokens with equal logits are ordered by id. A row with NaN, +inf
// or only -inf, or whose allowed tokens are all excluded, gets token -1 and log-probability NaN.
// All pointers are to device memory.
struct SampleRowsTask {
  const float* logits = nullptr;  // [rows, stride]; the first `vocab` of each row are read
  int64_t rows = 0, vocab = 0, stride = 0;
  SamplingParams params = {};        // must pass Validate()
  const double* uniforms = nullptr;  // [rows], in [0, 1)
  // Tokens never sampled from row r: excluded[excluded_ends[r]..excluded_ends[r + 1]), a few ids
  // below vocab. Null: none.
  const int32_t* excluded = nullptr;
  const int32_t* excluded_ends = nullptr;  // [rows + 1], from 0
  int32_t* tokens = nullptr;               // [rows]
  float* logprobs = nullptr;  // [rows] natural log of its probability, with nothing excluded
};

// Launches the kernel. Without filters it reads each row once, and one chunk of 512 tokens again to
// sample from it. min-p reads each row a second time. top-k and top-p select by radix digits of
// eight bits and read each row up to four times more each. Sums do not depend on the order in which
// threads run. For top-p, weights are rounded to 2^-44 of the largest weight. Throws Error
// for a vocabulary beyond kMaxVocab, and if CUDA refuses the launch.
void LaunchSampleRows(const SampleRowsTask& task, void* stream);

}  // namespace pivotal::kernels::cuda
