// Apache-2.0. AdamW (arXiv 1711.05101) with moments in 8 bits: block-wise dynamic quantisation
// (arXiv 2110.02861). (In C++17, which nvcc reads.)
#pragma once

#include <cstdint>

#include "kernels/element_type.h"

#if defined(__CUDACC__) || defined(PIVOTAL_CUDA_ON_CPU)
#define PIVOTAL_ANY_DEVICE static inline __host__ __device__
#else
// Internal linkage, since each file of kernels/cpu compiles it to other instructions.
#define PIVOTAL_ANY_DEVICE static inline
#endif

namespace pivotal::kernels {

// Number of consecutive elements that share a scale: the largest magnitude among them.
inline constexpr int64_t kMomentBlock = 256;

// The numbers that a code of 8 bits stands for, relative to the scale of its block: those of
// bitsandbytes' dynamic maps. Their spacing grows with their size, over seven decades.
//
// The first moment has a sign: code 127 is 0, codes 128..255 are above it up to 1. The second
// moment has none: code 0 is 0, code 255 is 1.
struct MomentTables {
  // Magnitudes from kLowest to 1 by the first bits of a float32: eight of the exponent, seven of
  // the fraction.
  static constexpr uint32_t kLowest = 104u << 23;  // 2^-23, which all maps round to 0
  static constexpr uint32_t kStarts = (23 << 7) + 1;

  float first[256], second[256];
  // Magnitude levels: level j ends at middle[j], half-way to level j + 1. start[i] is the level of
  // the smallest magnitude with the bits i.
  float first_middle[129], second_middle[256];
  uint8_t first_start[kStarts], second_start[kStarts];
};

const MomentTables& MomentTablesOnCpu();

// One step for a tensor. All pointers are to memory of the device that computes it.
struct AdamW8Task {
  int64_t size = 0;
  ElementType type = ElementType::kFloat32;  // of `parameter`
  void* parameter = nullptr;                 // [size]
  // float32 copy [size] of a 16-bit parameter, which is updated in its place and then rounded to
  // it; or null
  float* master = nullptr;
  ElementType gradient_type = ElementType::kFloat32;  // float32 or `type`
  const void* gradient = nullptr;                     // [size]; null: zeros
  uint8_t* first = nullptr;                           // [size] codes
  uint8_t* second = nullptr;
  float* first_scale = nullptr;  // [Blocks()]
  float* second_scale = nullptr;
  float learning_rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  float correction1 = 1, correction2 = 1;  // 1 - beta^t in step t
  const float* clip = nullptr;             // [1] factor of the gradient; null: 1
  const float* skip = nullptr;             // [1] not 0: changes nothing; null: 0
  // Rounds to bfloat16 up or down at random, so that the expectation is exact (arXiv 2010.06192),
  // in place of to the nearest. The random bits depend on `seed` and the element's index alone.
  bool stochastic = false;
  uint64_t seed = 0;
  const MomentTables* tables = nullptr;

  int64_t Blocks() const { return (size + kMomentBlock - 1) / kMomentBlock; }
};

// Returns the level of a magnitude in [0, 1].
PIVOTAL_ANY_DEVICE int MomentLevel(float x, const uint8_t* start, const float* middle) {
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  const uint32_t index = bits < MomentTables::kLowest ? 0 : (bits - MomentTables::kLowest) >> 16;
  const int level = start[index < MomentTables::kStarts ? index : MomentTables::kStarts - 1];
  return x > middle[level] ? level + 1 : level;
}

// Returns the code of the number nearest to x, in [-1, 1].
PIVOTAL_ANY_DEVICE uint8_t FirstMomentCode(float x, const MomentTables& tables) {
  const int level = MomentLevel(x < 0 ? -x : x, tables.first_start, tables.first_middle);
  if (x < 0) return static_cast<uint8_t>(127 - (level < 127 ? level : 127));
  return static_cast<uint8_t>(127 + level);
}

// Returns the code of the number nearest to x, in [0, 1], but 0 for 0 only: Adam divides by the
// root of the second moment.
PIVOTAL_ANY_DEVICE uint8_t SecondMomentCode(float x, const MomentTables& tables) {
  const int level = MomentLevel(x, tables.second_start, tables.second_middle);
  return static_cast<uint8_t>(level == 0 && x > 0 ? 1 : level);
}

// Returns random bits for the elements 4 group..4 group + 3, 16 for each, the lowest first: number
// `group` of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
PIVOTAL_ANY_DEVICE uint64_t RoundingBits(uint64_t seed, uint64_t group) {
  uint64_t z = seed + (group + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

// Returns the upper 16 bits of `x`, a bfloat16, after adding `random` (16 bits) to the lower ones.
PIVOTAL_ANY_DEVICE uint16_t RandomlyRounded(float x, uint64_t random) {
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  const bool finite = (bits & 0x7F800000u) != 0x7F800000u;
  return static_cast<uint16_t>((finite ? bits + static_cast<uint32_t>(random & 0xFFFFu) : bits) >>
                               16);
}

}  // namespace pivotal::kernels
