// Apache-2.0. The same kernels, compiled for each instruction set.
#pragma once

#include "kernels/cpu_kernels.h"

namespace pivotal::kernels {

extern const CpuKernels kPortableKernels;
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;

}  // namespace pivotal::kernels
