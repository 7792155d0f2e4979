// Apache-2.0. Where the accesses of kernels on the CPU are reported.
#pragma once

#include <cstddef>

namespace pivotal::kernels::cuda_on_cpu {

// True while a kernel's own code runs. Else nothing is watched: in a debug build this library may share instrumented
// templates with a kernel's source.
inline bool in_kernel = false;

// While a kernel's thread is in this library.
class OutOfKernel {
 public:
  OutOfKernel() : before_(in_kernel) { in_kernel = false; }
  ~OutOfKernel() { in_kernel = before_; }

 private:
  bool before_;
};

// An access of the thread that runs, if one does. Ends the launch if it is a mistake.
void Touch(const void* p, std::size_t bytes, bool write, bool atomic = false);

}  // namespace pivotal::kernels::cuda_on_cpu
