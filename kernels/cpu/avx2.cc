// Apache-2.0. Flags: kernels/CMakeLists.txt.
#include "kernels/cpu/attention.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/rows.h"

namespace pivotal::kernels {

const CpuKernels kAvx2Kernels = {Isa::kAvx2, Matmul, Attend, Norm, Rotate, Activate, RowMax, RowExp};

}  // namespace pivotal::kernels
