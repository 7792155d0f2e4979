// Apache-2.0. Flows of control with stacks of their own, of one OS thread.
#pragma once

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <vector>

namespace pivotal::kernels::cuda_on_cpu {

inline constexpr std::size_t kStackBytes = 128 << 10;

class Flow {
 public:
  // From the beginning of `main`, which calls Entered() first and never returns.
  void Begin(void (*main)());
  // On a fiber's stack, with where it came from.
  static void Entered(Flow& from);
  // Until somebody switches back.
  static void Switch(Flow& from, Flow& to);
  // From a signal's handler: to where `to` switched from. Never returns.
  static void Jump(Flow& to);

  bool HasOnStack(const void* p) const { return p >= stack_ && p < stack_ + kStackBytes; }

 private:
  ucontext_t context_;
  jmp_buf jump_;
  bool started_ = false;
  std::byte* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
};

// Gives `handler` the address of an access that the processor refuses, while it lives.
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
