// Apache-2.0. Vectors of float32 in the instruction set that the including file is compiled for.
// Everything in kernels/cpu has internal linkage, since each file compiles it to other
// instructions. For the same reason it calls no templates of the standard library: the linker keeps
// one copy of those for all files.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/packed_matrix.h"
#include "kernels/quantised.h"

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace pivotal::kernels {
namespace {

#if defined(__AVX512F__)
using Vec = __m512;
#elif defined(__AVX2__)
using Vec = __m256;
#else
using Vec = float __attribute__((vector_size(16)));
#endif
constexpr int kLanes = sizeof(Vec) / sizeof(float);
using IntVec = int32_t __attribute__((vector_size(sizeof(Vec))));

constexpr float kInfinity = __builtin_inff();

inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }
inline void Fill(float* first, const float* last, float value) {
  for (; first < last; ++first) *first = value;
}

inline Vec Load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
inline void Store(float* p, Vec v) { std::memcpy(p, &v, sizeof(v)); }
inline Vec Broadcast(float x) { return x - Vec{}; }
inline Vec Zero() { return Vec{}; }

// Returns a * b + c, rounded once where the instruction set has fused multiply-add.
inline Vec Fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}
inline float Fma(float a, float b, float c) {
#if defined(__AVX2__) || defined(__AVX512F__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

inline Vec Max(Vec a, Vec b) { return a > b ? a : b; }
inline Vec Min(Vec a, Vec b) { return a < b ? a : b; }
inline IntVec Bits(Vec v) {
  IntVec bits;
  std::memcpy(&bits, &v, sizeof(v));
  return bits;
}
inline Vec FromBits(IntVec bits) {
  Vec v;
  std::memcpy(&v, &bits, sizeof(v));
  return v;
}

// Loads kLanes weights of a storage type as float32.
inline Vec LoadWeights(const float* p) { return Load(p); }
inline Vec LoadWeights(const uint16_t* bfloat16) {
#if defined(__AVX512F__)
  __m256i half;
  std::memcpy(&half, bfloat16, sizeof(half));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#elif defined(__AVX2__)
  __m128i half;
  std::memcpy(&half, bfloat16, sizeof(half));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
#else
  IntVec bits;
  for (int i = 0; i < kLanes; ++i)
    bits[i] = static_cast<int32_t>(static_cast<uint32_t>(bfloat16[i]) << 16);
  return FromBits(bits);
#endif
}
inline Vec LoadWeights(const Float16* p) {
#if defined(__AVX512F__)
  __m256i half;
  std::memcpy(&half, p, sizeof(half));
  return _mm512_cvtph_ps(half);
#elif defined(__AVX2__)
  __m128i half;
  std::memcpy(&half, p, sizeof(half));
  return _mm256_cvtph_ps(half);
#else
  Vec v;
  for (int i = 0; i < kLanes; ++i) {
    const uint32_t sign = p[i].bits & 0x8000u, exponent = p[i].bits >> 10 & 31,
                   fraction = p[i].bits & 1023;
    const uint32_t rest =
        exponent == 31 ? 0x7F800000u | fraction << 13 : (exponent + 112) << 23 | fraction << 13;
    float size = static_cast<float>(fraction) * 0x1p-24f;
    if (exponent > 0) std::memcpy(&size, &rest, sizeof(size));
    v[i] = sign != 0 ? -size : size;
  }
  return v;
#endif
}
inline Vec LoadWeights(const int8_t* p) {
#if defined(__AVX512F__)
  __m128i bytes;
  std::memcpy(&bytes, p, sizeof(bytes));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
#elif defined(__AVX2__)
  return _mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  Vec v;
  for (int i = 0; i < kLanes; ++i) v[i] = p[i];
  return v;
#endif
}

// The bytes of NF4 codes of a panel (PackedMatrix).
struct Nf4Byte {
  uint8_t bits;
};
// Loads kLanes weights, from output `first` of a panel on, of an input whose eight bytes are at p.
inline Vec LoadNf4(const Nf4Byte* p, int first) {
#if defined(__AVX512F__) || defined(__AVX2__)
  int64_t all;
  std::memcpy(&all, p, sizeof(all));
#endif
#if defined(__AVX512F__)
  (void)first;
  const __m512i shifts =
      _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
  const __m512i codes = _mm512_srlv_epi32(_mm512_set1_epi64(all), shifts);
  return _mm512_permutexvar_ps(codes, Load(kNf4));  // reads the lowest four bits
#elif defined(__AVX2__)
  const __m256i shifts = first == 0 ? _mm256_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12)
                                    : _mm256_setr_epi32(16, 16, 20, 20, 24, 24, 28, 28);
  const __m256i codes = _mm256_srlv_epi32(_mm256_set1_epi64x(all), shifts);
  // These read the lowest three bits; the fourth one chooses.
  const __m256 below = _mm256_permutevar8x32_ps(Load(kNf4), codes);
  const __m256 above = _mm256_permutevar8x32_ps(Load(kNf4 + 8), codes);
  return _mm256_blendv_ps(below, above, _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)));
#else
  Vec v;
  for (int i = 0; i < kLanes; ++i) {
    const int output = first + i;
    v[i] = kNf4[p[output % 2 * 4 + output / 4].bits >> (output / 2 % 2 * 4) & 15];
  }
  return v;
#endif
}

// Sixteen partial sums, whatever the width of a vector, so that sums are equal in all widths.
struct Lanes16 {
  Vec part[16 / kLanes];
};

// Returns the sum of all lanes, added pairwise in a fixed order.
inline float Sum(const Lanes16& lanes) {
  float values[16];
  std::memcpy(values, &lanes, sizeof(values));
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) values[i] += values[i + width];
  return values[0];
}
inline float MaxLane(Vec v) {
  float max = v[0];
  for (int lane = 1; lane < kLanes; ++lane) max = v[lane] > max ? v[lane] : max;
  return max;
}

// Returns exp(x) to within 2 units in the last place, 0 for x below -87 and exp(88) for x above 88.
// Uses the polynomial of the Cephes library.
inline Vec Exp(Vec x) {
  // A number plus 1.5 * 2^23 has its nearest integer in the last bits.
  const Vec magic = Broadcast(12582912.0f);
  const Vec capped = Min(Max(x, Broadcast(-87.0f)), Broadcast(88.0f));
  const Vec shifted = Fma(capped, Broadcast(1.44269504088896341f), magic);
  const Vec n = shifted - magic;
  Vec r = Fma(n, Broadcast(-0.693359375f), capped);
  r = Fma(n, Broadcast(2.12194440e-4f), r);
  Vec p = Broadcast(1.9875691500e-4f);
  p = Fma(p, r, Broadcast(1.3981999507e-3f));
  p = Fma(p, r, Broadcast(8.3334519073e-3f));
  p = Fma(p, r, Broadcast(4.1665795894e-2f));
  p = Fma(p, r, Broadcast(1.6666665459e-1f));
  p = Fma(p, r, Broadcast(5.0000001201e-1f));
  p = Fma(p, r * r, r) + Broadcast(1.0f);
  const Vec scaled = FromBits(Bits(p) + (Bits(shifted) << 23));
  return x < Broadcast(-87.0f) ? Zero() : scaled;
}

}  // namespace
}  // namespace pivotal::kernels
