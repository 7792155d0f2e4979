// Apache-2.0.
#include "kernels/cpu_kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <cstdlib>
#include <string>
#include <vector>

#include "pivotal/error.h"

namespace pivotal::kernels {
namespace {

#if defined(__x86_64__)
// __builtin_cpu_supports knows "f16c" in GCC and not in older clang.
bool HasF16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

std::vector<Isa> DetectIsas() {
  std::vector<Isa> isas = {Isa::kPortable};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c()) {
    isas.push_back(Isa::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
      isas.push_back(Isa::kAvx512);
  }
#endif
  return isas;
}

const CpuKernels& ChooseKernels() {
  const char* wanted = std::getenv("PIVOTAL_ISA");
  if (wanted == nullptr || *wanted == '\0') return KernelsFor(SupportedIsas().back());
  for (Isa isa : SupportedIsas())
    if (IsaName(isa) == wanted) return KernelsFor(isa);
  std::string names;
  for (Isa isa : SupportedIsas()) names += (names.empty() ? "" : ", ") + std::string(IsaName(isa));
  throw Error("PIVOTAL_ISA=" + std::string(wanted) + ": this CPU has " + names);
}

}  // namespace

std::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kAvx2: return "avx2";
    case Isa::kAvx512: return "avx512";
    default: return "portable";
  }
}

std::span<const Isa> SupportedIsas() {
  static const std::vector<Isa> isas = DetectIsas();
  return isas;
}

const CpuKernels& KernelsFor(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return kAvx512Kernels;
  if (isa == Isa::kAvx2) return kAvx2Kernels;
#endif
  (void)isa;
  return kPortableKernels;
}

const CpuKernels& Kernels() {
  static const CpuKernels& chosen = ChooseKernels();
  return chosen;
}

}  // namespace pivotal::kernels
