// Apache-2.0.
#undef _FORTIFY_SOURCE  // its longjmp refuses to jump between stacks
#include "tests/kernels/cuda_fiber.h"

#include <sys/mman.h>

#include "tests/kernels/cuda_memory.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace pivotal::kernels::cuda_on_cpu {
namespace {

void (*on_fault)(const void*) = nullptr;

void Handle(int, siginfo_t* info, void*) {
  on_fault(info->si_addr);
  signal(SIGSEGV, SIG_DFL);  // not a kernel's access: the fault happens again and ends the process
}

}  // namespace

void Flow::Begin(void (*main)()) {
  if (stack_ == nullptr) {  // never freed
    stack_ = MapPages(kStackBytes, PROT_READ | PROT_WRITE);
    mprotect(stack_, PageBytes(), PROT_NONE);
    stack_bytes_ = kStackBytes;
  }
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stack_, kStackBytes);
#endif
  started_ = false;
  fake_stack_ = nullptr;
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, main, 0);
  context_.uc_stack.ss_size = 0;  // otherwise AddressSanitizer takes the stack for empty
}

void Flow::Entered([[maybe_unused]] Flow& from) {
#if defined(__SANITIZE_ADDRESS__)
  const void* stack;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &from.stack_bytes_);
  from.stack_ = static_cast<std::byte*>(const_cast<void*>(stack));
#endif
}

void Flow::Switch(Flow& from, Flow& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_, to.stack_bytes_);
  swapcontext(&from.context_, &to.context_);
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#else
  // setjmp and longjmp are faster than swapcontext, which makes two system calls.
  from.started_ = true;
  if (_setjmp(from.jump_) != 0) return;
  if (to.started_) _longjmp(to.jump_, 1);
  to.started_ = true;
  setcontext(&to.context_);
#endif
}

void Flow::Jump(Flow& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, to.stack_, to.stack_bytes_);
  setcontext(&to.context_);
#else
  _longjmp(to.jump_, 1);
#endif
}

CatchFaults::CatchFaults(void (*handler)(const void*)) : stack_(std::size_t{64} << 10) {
  on_fault = handler;
  stack_t stack = {};
  stack.ss_sp = stack_.data();
  stack.ss_size = stack_.size();
  sigaltstack(&stack, &old_stack_);
  struct sigaction action = {};
  action.sa_sigaction = Handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, &old_action_);
}

CatchFaults::~CatchFaults() {
  sigaction(SIGSEGV, &old_action_, nullptr);
  sigaltstack(&old_stack_, nullptr);
}

}  // namespace pivotal::kernels::cuda_on_cpu
