// Apache-2.0. Draws from rows of logits on a GPU, under the sampling policy of kernels/sample_row.h.
#pragma once

#include <cstdint>

#include "kernels/sampling_params.h"

namespace pivotal::kernels::cuda {

inline constexpr int64_t kMaxVocab = int64_t{1} << 19;

// What SampleRow does, for many rows. Tokens at equal logits are ordered by id. A row with NaN, +inf or only -inf, or
// with nothing but excluded tokens, gets token -1 and NaN. All pointers are the device's.
struct SampleRowsTask {
  const float* logits = nullptr;  // [rows, stride], of which vocab are read
  int64_t rows = 0, vocab = 0, stride = 0;
  SamplingParams params = {};        // valid
  const double* uniforms = nullptr;  // [rows], in [0, 1)
  // Row r's: excluded[excluded_ends[r]..excluded_ends[r + 1]), ids below vocab, few. Null: none.
  const int32_t* excluded = nullptr;
  const int32_t* excluded_ends = nullptr;  // [rows + 1], from 0
  const int32_t* given = nullptr;          // [rows], ids below vocab, or -1 (gives NaN); null: no given tokens
  int32_t* tokens = nullptr;               // [rows]
  // [rows] natural logs under the policy, with nothing excluded: of the token drawn, of the given one (-inf if
  // that is filtered out; null with `given`).
  float* logprobs = nullptr;
  float* given_logprobs = nullptr;
};

// A row is read once, and a chunk of 512 tokens again for the draw, as long as there are no filters. min-p reads it twice;
// top-k up to four times more, as often as a digit of the logits leaves the cut open, and top-p as well. Sums don't
// depend on the order in which threads run. For top-p, weights are rounded to 2^-44 of the largest.
// Throws std::invalid_argument for a vocabulary beyond kMaxVocab, std::runtime_error if CUDA refuses the launch.
void LaunchSampleRows(const SampleRowsTask& task, void* stream);

}  // namespace pivotal::kernels::cuda
