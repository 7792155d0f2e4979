// Apache-2.0. AdamW with moments in 8 bits, a block of elements at a time.
#pragma once

#include "kernels/adamw8.h"
#include "kernels/cpu/elements.h"
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

// Writes elements [from, from + count).
inline void WriteElements(const AdamW8Task& task, int64_t from, int64_t count, const float* x) {
  if (task.master != nullptr)
    std::memcpy(task.master + from, x, static_cast<std::size_t>(count) * sizeof(float));
  auto* const half = static_cast<uint16_t*>(task.parameter) + from;
  if (task.stochastic && task.type != ElementType::kFloat32) {
    for (int64_t i = 0; i < count; i += 4) {  // `from` is a multiple of 4
      const uint64_t random = RoundingBits(task.seed, static_cast<uint64_t>(from + i) / 4);
      for (int64_t j = 0; j < 4 && i + j < count; ++j)
        half[i + j] = RandomlyRounded(x[i + j], random >> (16 * j));
    }
  } else {
    WriteRounded(task.type, x, count, task.parameter, from);
  }
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
    ReadElements<kMomentBlock>(task.master != nullptr ? ElementType::kFloat32 : task.type,
                               task.master != nullptr ? task.master : task.parameter, from, count,
                               x);
    ReadElements<kMomentBlock>(task.gradient_type, task.gradient, from, count, gradient);
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
    const float largest1 = LargestMagnitude(first, kMomentBlock),
                largest2 = LargestMagnitude(second, kMomentBlock);
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
