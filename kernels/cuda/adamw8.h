// Apache-2.0. AdamW with moments in 8 bits on a GPU, one launch a tensor. (In C++17, which nvcc
// reads.)
#pragma once

#include "kernels/adamw8.h"

namespace pivotal::kernels::cuda {

// Makes the step of `task` on `stream`, a cudaStream_t. Throws Error if CUDA refuses the launch.
void LaunchAdamW8(const AdamW8Task& task, void* stream);

}  // namespace pivotal::kernels::cuda
