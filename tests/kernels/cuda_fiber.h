// Apache-2.0. Fibers: flows of control with their own stacks that one OS thread switches between.
#pragma once

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <vector>

namespace pivotal::kernels::cuda_on_cpu {

inline constexpr std::size_t kStackBytes = 128 << 10;

// A fiber, or the thread that launches fibers.
class Flow {
 public:
  // Prepares this fiber to call `main` when it is first switched to. `main` must call Entered()
  // first and never return.
  void Begin(void (*main)());
  // Must be called first on the stack of a fiber. `from` is the flow that switched to it.
  static void Entered(Flow& from);
  // Suspends `from` and resumes `to`. Returns when something switches back to `from`.
  static void Switch(Flow& from, Flow& to);
  // Resumes `to` from a signal handler. Never returns.
  static void Jump(Flow& to);

  bool HasOnStack(const void* p) const { return p >= stack_ && p < stack_ + kStackBytes; }

 private:
  ucontext_t context_;
  jmp_buf jump_;
  bool started_ = false;
  std::byte* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;  // used by AddressSanitizer
};

// Catches segmentation faults during its lifetime and calls `handler` with the address accessed.
class CatchFaults {
 public:
  explicit CatchFaults(void (*handler)(const void*));
  ~CatchFaults();
  CatchFaults(const CatchFaults&) = delete;
  CatchFaults& operator=(const CatchFaults&) = delete;

 private:
  std::vector<char> stack_;
  stack_t old_stack_;
  struct sigaction old_action_;
};

}  // namespace pivotal::kernels::cuda_on_cpu
