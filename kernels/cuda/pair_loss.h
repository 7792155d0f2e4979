// Apache-2.0. The DPO loss of preference pairs and its gradient, in one go.
#pragma once

#include <cstdint>

#include "kernels/cuda/element_type.h"

namespace pivotal::kernels::cuda {

// -(1-e) log sigmoid(s) - e log sigmoid(-s) with s = beta * (c - r), dpo::LossType::kSigmoid (arXiv 2305.18290).
struct PairLossOptions {
  float beta = 0.1f;
  float label_smoothing = 0;  // e, in [0, 0.5)
  float gradient_scale = 1;   // of gradients; 1/P for the mean of P pairs
};

// P pairs, a chosen and a rejected side each: side 2p is pair p's chosen one. A side's log-probability is the sum over
// its tokens. All pointers are the device's.
struct PairLoss {
  PairLossOptions options;
  int64_t pairs = 0;
  const float* logprobs = nullptr;   // [N], the policy's, of the sides' tokens
  const int32_t* ends = nullptr;     // [2P + 1]: side s has tokens ends[s]..ends[s + 1]
  const float* reference = nullptr;  // [2P], summed
  float* loss = nullptr;             // [P]
  float* rewards = nullptr;          // [2P] beta * (policy - reference)
  float* gradient = nullptr;         // [N] of `logprobs`
};

// One warp a pair. Throws std::runtime_error if CUDA refuses the launch.
void LaunchPairLoss(const PairLoss& task, void* stream);

// Pairs of single tokens after one prefix: the normaliser cancels, and c - r is that of two rows of the output weights,
// hidden . (w_chosen - w_rejected) + b_chosen - b_rejected, less the reference's. H elements, V words.
struct TokenPairLoss {
  PairLossOptions options;
  ElementType type = ElementType::kFloat32;  // of hidden states and weights
  int64_t pairs = 0, hidden_size = 0;
  const void* hidden = nullptr;      // [P, H], after the prefix
  const void* weights = nullptr;     // [V, H]
  const float* bias = nullptr;       // [V], or null
  const int32_t* tokens = nullptr;   // [P, 2]: chosen, rejected
  const float* reference = nullptr;  // [P]: its log-probability of the chosen token less that of the rejected one
  float* loss = nullptr;             // [P]
  // [P] of c - r, as the policy has it: what a row of the output weights gets is this times `hidden`.
  float* margin_gradient = nullptr;
  float* hidden_gradient = nullptr;  // [P, H]
};

// One warp a pair. Throws std::runtime_error if CUDA refuses the launch.
void LaunchTokenPairLoss(const TokenPairLoss& task, void* stream);

}  // namespace pivotal::kernels::cuda
