// Apache-2.0. AdamW with moments in 8 bits, a block of elements at a time.
#pragma once

#include "kernels/adamw8.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu_kernels.h"

namespace pivotal::kernels {
namespace {

inline Vec Sqrt(Vec x) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(x);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(x);
#else
  for (int lane = 0; lane < kLanes; ++lane) x[lane] = __builtin_sqrtf(x[lane]);
  return x;
#endif
}

// Reads elements [from, from + count) as float32, with zeros after them up to kMomentBlock.
template <typename T>
inline void ReadElements(const T* source, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Store(to + i, LoadWeights(source + i));
  if (i == kMomentBlock) return;
  T rest[kLanes] = {};
  for (int64_t j = i; j < count; ++j) rest[j - i] = source[j];
  Store(to + i, LoadWeights(rest));
  Fill(to + i + kLanes, to + kMomentBlock, 0);
}
inline void ReadElements(ElementType type, const void* source, int64_t from, int64_t count,
                         float* to) {
  if (source == nullptr) return Fill(to, to + kMomentBlock, 0);
  switch (type) {
    case ElementType::kFloat32:
      return ReadElements(static_cast<const float*>(source) + from, count, to);
    case ElementType::kBfloat16:
      return ReadElements(static_cast<const uint16_t*>(source) + from, count, to);
    case ElementType::kFloat16:
      return ReadElements(static_cast<const Float16*>(source) + from, count, to);
  }
}

// Rounds to the nearest bfloat16, ties to even.
inline uint16_t ToBfloat16(float x) {
  uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof(bits));
  if (x != x) return 0x7FC0;
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
}

// Rounds to the nearest float16, ties to even.
inline uint16_t ToFloat16(float x) {
  const float size = __builtin_fabsf(x);
  const uint16_t sign = __builtin_signbit(x) != 0 ? 0x8000 : 0;
  if (!(size < 65520.0f)) return static_cast<uint16_t>(sign | (size == size ? 0x7C00 : 0x7E00));
  // Adding a number whose last bit has the weight of the result's last bit rounds to it.
  uint32_t bits = 0;
  std::memcpy(&bits, &size, sizeof(bits));
  const int32_t exponent = bits >> 23 > 113 ? static_cast<int32_t>(bits >> 23) : 113;
  const uint32_t magic_bits = static_cast<uint32_t>(exponent + 13) << 23;
  float magic = 0;
  std::memcpy(&magic, &magic_bits, sizeof(magic));
  const float shifted = size + magic;
  uint32_t rounded = 0;
  std::memcpy(&rounded, &shifted, sizeof(rounded));
  const uint32_t fraction = rounded - magic_bits;  // with the leading bit, unless subnormal
  return static_cast<uint16_t>(sign | ((static_cast<uint32_t>(exponent - 113) << 10) + fraction));
}

// Writes elements [from, from + count).
inline void WriteElements(const AdamW8Task& task, int64_t from, int64_t count, const float* x) {
  if (task.master != nullptr)
    std::memcpy(task.master + from, x, static_cast<std::size_t>(count) * sizeof(float));
  auto* const half = static_cast<uint16_t*>(task.parameter) + from;
  if (task.type == ElementType::kFloat32) {
    std::memcpy(static_cast<float*>(task.parameter) + from, x,
                static_cast<std::size_t>(count) * sizeof(float));
  } else if (task.stochastic) {
    for (int64_t i = 0; i < count; i += 4) {  // `from` is a multiple of 4
      const uint64_t random = RoundingBits(task.seed, static_cast<uint64_t>(from + i) / 4);
      for (int64_t j = 0; j < 4 && i + j < count; ++j)
        half[i + j] = RandomlyRounded(x[i + j], random >> (16 * j));
    }
  } else if (task.type == ElementType::kBfloat16) {
    for (int64_t i = 0; i < count; ++i) half[i] = ToBfloat16(x[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) half[i] = ToFloat16(x[i]);
  }
}

inline float LargestOf(const float* x) {  // of kMomentBlock magnitudes
  Vec largest = Zero();
  for (int64_t i = 0; i < kMomentBlock; i += kLanes) {
    const Vec v = Load(x + i);
    largest = Max(largest, Max(v, -v));
  }
  return MaxLane(largest);
}

// Steps blocks [first_block, last_block) of kMomentBlock elements.
void AdamW8(const AdamW8Task& task, int64_t first_block, int64_t last_block) {
  if (task.skip != nullptr && *task.skip != 0) return;
  const MomentTables& tables = *task.tables;
  const Vec clip = Broadcast(task.clip != nullptr ? *task.clip : 1.0f);
  const Vec beta1 = Broadcast(task.beta1), beta2 = Broadcast(task.beta2);
  const Vec rest1 = Broadcast(1 - task.beta1), rest2 = Broadcast(1 - task.beta2);
  const Vec keep = Broadcast(1 - task.learning_rate * task.weight_decay);
  const Vec step = Broadcast(task.learning_rate / task.correction1);
  const Vec root = Broadcast(1 / __builtin_sqrtf(task.correction2));
  const Vec epsilon = Broadcast(task.epsilon);
  for (int64_t block = first_block; block < last_block; ++block) {
    const int64_t from = block * kMomentBlock, count = Min(kMomentBlock, task.size - from);
    float x[kMomentBlock], gradient[kMomentBlock], first[kMomentBlock] = {},
                                                   second[kMomentBlock] = {};
    ReadElements(task.master != nullptr ? ElementType::kFloat32 : task.type,
                 task.master != nullptr ? task.master : task.parameter, from, count, x);
    ReadElements(task.gradient_type, task.gradient, from, count, gradient);
    uint8_t* const first_codes = task.first + from;
    uint8_t* const second_codes = task.second + from;
    for (int64_t i = 0; i < count; ++i) {
      first[i] = tables.first[first_codes[i]];
      second[i] = tables.second[second_codes[i]];
    }
    const Vec first_scale = Broadcast(task.first_scale[block]),
              second_scale = Broadcast(task.second_scale[block]);
    for (int64_t i = 0; i < kMomentBlock; i += kLanes) {
      const Vec g = Load(gradient + i) * clip;
      const Vec m = Load(first + i) * first_scale * beta1 + g * rest1;
      const Vec v = Load(second + i) * second_scale * beta2 + g * g * rest2;
      Store(first + i, m);
      Store(second + i, v);
      Store(x + i, Load(x + i) * keep - step * m / (Sqrt(v) * root + epsilon));
    }
    WriteElements(task, from, count, x);
    const float largest1 = LargestOf(first), largest2 = LargestOf(second);
    task.first_scale[block] = largest1;
    task.second_scale[block] = largest2;
    const Vec scale1 = Broadcast(largest1 > 0 ? largest1 : 1),
              scale2 = Broadcast(largest2 > 0 ? largest2 : 1);
    for (int64_t i = 0; i < kMomentBlock; i += kLanes) {
      Store(first + i, Load(first + i) / scale1);
      Store(second + i, Load(second + i) / scale2);
    }
    for (int64_t i = 0; i < count; ++i) {
      first_codes[i] = FirstMomentCode(first[i], tables);
      second_codes[i] = SecondMomentCode(second[i], tables);
    }
  }
}

}  // namespace
}  // namespace pivotal::kernels
