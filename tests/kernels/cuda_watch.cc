// Apache-2.0. Accesses of kernels on the CPU, atomic ones and those that the compiler reports, and
// conversions of 16-bit numbers.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "kernels/packed_matrix.h"
#include "tests/kernels/cuda_memory.h"
#include "tests/kernels/cuda_on_cpu.h"

namespace pivotal::kernels::cuda_on_cpu {
namespace {

// Instrumented sources set this before main().
bool watches_accesses = false;

// Replaces *p by change(*p) and returns the value before.
template <typename T, typename F>
T Atomic(T* p, F change) {
  if (watches_accesses) Touch(p, sizeof(T), true, true);
  const T before = *p;
  *p = change(before);
  return before;
}

}  // namespace

bool WatchesAccesses() { return watches_accesses; }

}  // namespace pivotal::kernels::cuda_on_cpu

using pivotal::kernels::cuda_on_cpu::Atomic;
using pivotal::kernels::cuda_on_cpu::Touch;
using pivotal::kernels::cuda_on_cpu::watches_accesses;

int atomicAdd(int* p, int x) {
  return Atomic(p, [&](int a) { return a + x; });
}
unsigned long long atomicAdd(unsigned long long* p, unsigned long long x) {
  return Atomic(p, [&](unsigned long long a) { return a + x; });
}
int atomicMax(int* p, int x) {
  return Atomic(p, [&](int a) { return std::max(a, x); });
}
unsigned atomicInc(unsigned* p, unsigned last) {
  return Atomic(p, [&](unsigned a) { return a >= last ? 0 : a + 1; });
}

float __bfloat162float(__nv_bfloat16 x) { return __uint_as_float(unsigned{x.bits} << 16); }
__nv_bfloat16 __float2bfloat16(float x) {
  const unsigned bits = __float_as_uint(x);
  if (x != x) return {0x7FFF};
  return {static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}
float __half2float(__half x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  const float size = exponent == 31 ? (fraction == 0 ? HUGE_VALF : NAN)
                     : exponent == 0
                         ? std::ldexp(static_cast<float>(fraction), -24)
                         : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return x.bits & 0x8000 ? -size : size;
}
__half __float2half(float x) { return {pivotal::kernels::ToFloat16(x).bits}; }

#if !defined(__SANITIZE_THREAD__)
// The functions that code compiled with -fsanitize=thread calls. ThreadSanitizer is not linked.
extern "C" {
void __tsan_init() { watches_accesses = true; }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
#define PIVOTAL_WATCH(size)                                            \
  void __tsan_read##size(void* p) { Touch(p, size, false); }           \
  void __tsan_write##size(void* p) { Touch(p, size, true); }           \
  void __tsan_unaligned_read##size(void* p) { Touch(p, size, false); } \
  void __tsan_unaligned_write##size(void* p) { Touch(p, size, true); }
PIVOTAL_WATCH(1)
PIVOTAL_WATCH(2)
PIVOTAL_WATCH(4)
PIVOTAL_WATCH(8)
PIVOTAL_WATCH(16)
void __tsan_read_range(void* p, std::size_t bytes) { Touch(p, bytes, false); }
void __tsan_write_range(void* p, std::size_t bytes) { Touch(p, bytes, true); }
// Called for the reference counts of a test's own objects.
int __tsan_atomic32_load(const volatile int* p, int) {
  return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}
void __tsan_atomic32_store(volatile int* p, int x, int) {
  __atomic_store_n(p, x, __ATOMIC_SEQ_CST);
}
int __tsan_atomic32_fetch_add(volatile int* p, int x, int) {
  return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST);
}
int __tsan_atomic32_fetch_sub(volatile int* p, int x, int) {
  return __atomic_fetch_sub(p, x, __ATOMIC_SEQ_CST);
}
}
#endif
