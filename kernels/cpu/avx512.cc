// Apache-2.0. Compiled for AVX-512, with the flags of kernels/CMakeLists.txt.
#include "kernels/cpu/adamw8.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/quantised.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu_kernels.h"

namespace pivotal::kernels {

const CpuKernels kAvx512Kernels = {Isa::kAvx512, Matmul,      Attend,       Norm,
                                   Rotate,       Activate,    RowMax,       RowExp,
                                   AdamW8,       QuantiseNf4, DequantiseNf4};

}  // namespace pivotal::kernels
