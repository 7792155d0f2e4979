// Apache-2.0. Log-probabilities of given tokens from hidden states, without a row of logits in memory.
#pragma once

#include <cstdint>

#include "kernels/cuda/element_type.h"

namespace pivotal::kernels::cuda {

// T tokens, hidden states of H elements, V words. All pointers are the device's.
struct TokenLogprobs {
  ElementType type = ElementType::kFloat32;  // of hidden states and weights
  int64_t tokens = 0, hidden_size = 0, vocab = 0;
  const void* hidden = nullptr;      // [T, H]
  const void* weights = nullptr;     // [V, H]
  const float* bias = nullptr;       // [V], or null
  const int32_t* targets = nullptr;  // [T], below V
  float* logprobs = nullptr;         // [T], natural logs of softmax(hidden weights^T + bias) at the targets
  int64_t splits = 8;                // shares of the vocabulary that run side by side
  float* workspace = nullptr;        // TokenLogprobsWorkspace() floats
};

int64_t TokenLogprobsWorkspace(const TokenLogprobs& task);

// Logits live for a tile of 64 tokens by 64 words, in registers; a token keeps the largest and the sum beside it. What
// LibTorch does in its place writes [T, V] twice. Products are float32, not a tensor core's: it saves memory, and time only
// where memory was the limit. Throws std::invalid_argument for an empty vocabulary, std::runtime_error if CUDA refuses
// the launch.
void LaunchTokenLogprobs(const TokenLogprobs& task, void* stream);

}  // namespace pivotal::kernels::cuda
