// Apache-2.0. Elements of a tensor of any type, read and written as float32.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/element_type.h"

namespace pivotal::kernels {
namespace {

// Reads elements [from, from + count) as float32, with zeros after them up to
// `kBlock` elements.
template <int64_t kBlock, typename T>
inline void ReadElements(const T* source, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) Store(to + i, LoadWeights(source + i));
  if (i == kBlock) return;
  T rest[kLanes] = {};
  for (int64_t j = i; j < count; ++j) rest[j - i] = source[j];
  Store(to + i, LoadWeights(rest));
  Fill(to + i + kLanes, to + kBlock, 0);
}
template <int64_t kBlock>
inline void ReadElements(ElementType type, const void* source, int64_t from, int64_t count,
                         float* to) {
  if (source == nullptr) return Fill(to, to + kBlock, 0);
  switch (type) {
    case ElementType::kFloat32:
      return ReadElements<kBlock>(static_cast<const float*>(source) + from, count, to);
    case ElementType::kBfloat16:
      return ReadElements<kBlock>(static_cast<const uint16_t*>(source) + from, count, to);
    case ElementType::kFloat16:
      return ReadElements<kBlock>(static_cast<const Float16*>(source) + from, count, to);
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

// Rounds x [count] to `type` and writes it to elements [from, from + count).
inline void WriteRounded(ElementType type, const float* x, int64_t count, void* to, int64_t from) {
  auto* const half = static_cast<uint16_t*>(to) + from;
  switch (type) {
    case ElementType::kFloat32:
      std::memcpy(static_cast<float*>(to) + from, x,
                  static_cast<std::size_t>(count) * sizeof(float));
      break;
    case ElementType::kBfloat16:
      for (int64_t i = 0; i < count; ++i) half[i] = ToBfloat16(x[i]);
      break;
    case ElementType::kFloat16:
      for (int64_t i = 0; i < count; ++i) half[i] = ToFloat16(x[i]);
      break;
  }
}

inline float LargestMagnitude(const float* x, int64_t count) {  // a multiple of kLanes
  Vec largest = Zero();
  for (int64_t i = 0; i < count; i += kLanes) {
    const Vec v = Load(x + i);
    largest = Max(largest, Max(v, -v));
  }
  return MaxLane(largest);
}

}  // namespace
}  // namespace pivotal::kernels
