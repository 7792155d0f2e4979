// Apache-2.0.
#include "kernels/cpu_kernels.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "pivotal/error.h"

namespace pivotal::kernels {
namespace {

std::vector<Isa> DetectIsas() {
  std::vector<Isa> isas = {Isa::kPortable};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
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
