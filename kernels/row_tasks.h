// Apache-2.0. What decoding does to rows of float32, beside matrix products and attention.
#pragma once

#include <cstdint>

namespace pivotal::kernels {

// RMSNorm (arXiv 1910.07467), or LayerNorm, which centers and has a bias.
struct NormWeights {
  const float* weight = nullptr;  // [size]
  const float* bias = nullptr;    // [size] if centered
  int64_t size = 0;
  float epsilon = 1e-5f;
  bool centered = false;
};

enum class Activation {
  kSwiGlu,  // silu(gate) * linear (arXiv 2002.05202)
  kGelu,    // tanh form
  kGegelu,  // Phi-3-small's: gate * sigmoid(1.702 gate) * (linear + 1), both clamped
};

// In place on a row: [size] for kGelu; else [2 size], gate then linear, whose first half becomes the
// result. Sixteen floats after the row are overwritten.
struct ActivationTask {
  Activation type = Activation::kSwiGlu;
  int64_t size = 0;
  float limit = 0;  // of kGegelu
};

// Elements whose sum is given by itself, for the draw of a token.
inline constexpr int64_t kSumChunk = 256;

}  // namespace pivotal::kernels
