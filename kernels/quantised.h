// Apache-2.0. Matrices in 4 and in 8 bits. (In C++17, which nvcc reads.)
#pragma once

#include <cstdint>

#include "kernels/adamw8.h"
#include "kernels/element_type.h"

namespace pivotal::kernels {

// NF4 with double quantisation (QLoRA, arXiv 2305.14314), in bitsandbytes' layout: a code of 4 bits
// for each number, a scale for each block of consecutive numbers, which is the largest magnitude
// among them. Scales less their mean are codes of 8 bits (MomentTables::first), relative to a scale
// for each group of consecutive blocks.
inline constexpr int64_t kNf4Block = 64;   // numbers of a block
inline constexpr int64_t kNf4Group = 256;  // blocks of a group

// What a code stands for, relative to the scale of its block: quantiles of the normal distribution,
// the largest of which are -1 and 1, and 0. Rounded as bitsandbytes has them.
inline constexpr float kNf4[16] = {-1.0f,
                                   -0.6961928009986877f,
                                   -0.5250730514526367f,
                                   -0.39491748809814453f,
                                   -0.28444138169288635f,
                                   -0.18477343022823334f,
                                   -0.09105003625154495f,
                                   0.0f,
                                   0.07958029955625534f,
                                   0.16093020141124725f,
                                   0.24611230194568634f,
                                   0.33791524171829224f,
                                   0.44070982933044434f,
                                   0.5626170039176941f,
                                   0.7229568362236023f,
                                   1.0f};

// Numbers in NF4. All pointers are to memory of the device that reads them.
struct Nf4Codes {
  int64_t size = 0;                     // numbers
  const uint8_t* codes = nullptr;       // [(size + 1) / 2]: number 2 i in the upper half of byte i
  const uint8_t* scales = nullptr;      // [Blocks()]
  const float* group_scales = nullptr;  // [Groups()]
  float offset = 0;                     // the mean of the scales
  const float* map = nullptr;           // [256] MomentTables::first

  int64_t Blocks() const { return (size + kNf4Block - 1) / kNf4Block; }
  int64_t Groups() const { return (Blocks() + kNf4Group - 1) / kNf4Group; }
};

// Returns the scale of a block.
PIVOTAL_ANY_DEVICE float Nf4Scale(const Nf4Codes& from, int64_t block) {
  const float relative = from.map[from.scales[block]], group = from.group_scales[block / kNf4Group];
#if defined(__CUDA_ARCH__)
  return __fadd_rn(__fmul_rn(relative, group), from.offset);  // rounded twice, as on a CPU
#else
  return relative * group + from.offset;
#endif
}

// Returns the numbers of a byte of codes, by byte: [256][2].
const float (*Nf4Pairs())[2];

// Numbers to quantise.
struct Nf4Task {
  int64_t size = 0;
  ElementType type = ElementType::kFloat32;
  const void* numbers = nullptr;  // [size], finite
  uint8_t* codes = nullptr;       // [(size + 1) / 2]
  float* largest = nullptr;       // [blocks] scales, in float32
};

// Quantises the scales of `blocks` blocks. Sets scales [blocks], group_scales [groups] and the
// offset.
void QuantiseNf4Scales(const float* largest, int64_t blocks, uint8_t* scales, float* group_scales,
                       float* offset);

// A matrix in 8 bits: number [r, c] is codes[r, c] * scales[r].
struct Int8Codes {
  int64_t rows = 0, columns = 0;
  const int8_t* codes = nullptr;  // [rows, columns]
  const float* scales = nullptr;  // [rows]
};

}  // namespace pivotal::kernels
