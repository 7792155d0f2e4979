// Apache-2.0. Numbers in 4 bits, a block at a time.
#pragma once

#include "kernels/cpu/elements.h"
#include "kernels/cpu/simd.h"
#include "kernels/quantised.h"

namespace pivotal::kernels {
namespace {

// Returns the codes of the numbers nearest to x, in [-1, 1].
inline IntVec NearestNf4(Vec x) {
  IntVec code = {};
#pragma GCC unroll 15
  for (int i = 0; i < 15; ++i)
    code -= x > Broadcast((kNf4[i] + kNf4[i + 1]) / 2);  // a comparison gives 0 or -1
  return code;
}

// Quantises blocks [first_block, last_block) of kNf4Block numbers.
void QuantiseNf4(const Nf4Task& task, int64_t first_block, int64_t last_block) {
  for (int64_t block = first_block; block < last_block; ++block) {
    const int64_t from = block * kNf4Block, count = Min(kNf4Block, task.size - from);
    float x[kNf4Block];
    ReadElements<kNf4Block>(task.type, task.numbers, from, count, x);
    const float largest = LargestMagnitude(x, kNf4Block);
    task.largest[block] = largest;
    const Vec inverse = Broadcast(1.0f / (largest > 1e-38f ? largest : 1e-38f));
    int32_t codes[kNf4Block];
    for (int64_t i = 0; i < kNf4Block; i += kLanes) {
      const IntVec nearest = NearestNf4(Load(x + i) * inverse);
      std::memcpy(codes + i, &nearest, sizeof(nearest));
    }
    uint8_t* const to = task.codes + from / 2;
    for (int64_t i = 0; i < count; i += 2)
      to[i / 2] = static_cast<uint8_t>(codes[i] << 4 | codes[i + 1]);
  }
}

// Writes the numbers of blocks [first_block, last_block), rounded to `type`, to their places in
// `out` [size].
void DequantiseNf4(const Nf4Codes& from, ElementType type, void* out, int64_t first_block,
                   int64_t last_block) {
  const float(*const pairs)[2] = Nf4Pairs();
  for (int64_t block = first_block; block < last_block; ++block) {
    const int64_t begin = block * kNf4Block, count = Min(kNf4Block, from.size - begin);
    const uint8_t* const codes = from.codes + begin / 2;
    float x[kNf4Block] = {};
    for (int64_t i = 0; i < count; i += 2)
      std::memcpy(x + i, pairs[codes[i / 2]], 2 * sizeof(float));
    const Vec scale = Broadcast(Nf4Scale(from, block));
    for (int64_t i = 0; i < kNf4Block; i += kLanes) Store(x + i, Load(x + i) * scale);
    WriteRounded(type, x, count, out, begin);
  }
}

}  // namespace
}  // namespace pivotal::kernels
