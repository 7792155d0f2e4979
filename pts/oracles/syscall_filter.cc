// Apache-2.0.
#include "pts/oracles/syscall_filter.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "data/error.h"
#include "pts/oracles/descriptor.h"

namespace pivotal::pts {
namespace {

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

constexpr const char* kRefused[] = {
    // memory
    "memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "msgget", "msgsnd", "semget",
    "mq_open",
    // namespaces and mounts
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_by_handle_at",
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    // the kernel
    "bpf", "perf_event_open", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "userfaultfd", "keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load",
    "init_module", "finit_module", "delete_module", "quotactl", "syslog", "personality",
    "vmsplice", "move_pages", "mbind", "set_mempolicy", "migrate_pages"};

constexpr int kNamespaceFlags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                   CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

void Check(int error) {
  if (error < 0) Fail("the code oracle's seccomp filter cannot be made: error {}", -error);
}

std::string Export(const Filter& filter) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) Check(-errno);
  const Descriptor read(ends[0]);
  Descriptor write(ends[1]);
  Check(seccomp_export_bpf(filter.get(), write.get()));  // a few KiB: a pipe holds 64
  write.Reset();
  std::string program;
  std::array<char, 4096> buffer;
  ssize_t n = 0;
  while ((n = ::read(read.get(), buffer.data(), buffer.size())) > 0)
    program.append(buffer.data(), static_cast<std::size_t>(n));
  return program;
}

}  // namespace

std::string SyscallFilter() {
  const Filter filter(seccomp_init(SCMP_ACT_ALLOW), &seccomp_release);
  if (!filter) Check(-ENOMEM);
  const auto add = [&](uint32_t action, const char* name, unsigned count, scmp_arg_cmp compared) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call != __NR_SCMP_ERROR)  // older libraries lack the newest names
      Check(seccomp_rule_add_array(filter.get(), action, call, count, &compared));
  };
  for (const char* name : kRefused) add(SCMP_ACT_ERRNO(EPERM), name, 0, {});
  for (const int flag : kNamespaceFlags) {
    const auto bit = static_cast<scmp_datum_t>(flag);
    add(SCMP_ACT_ERRNO(EPERM), "clone", 1, {0, SCMP_CMP_MASKED_EQ, bit, bit});
  }
  add(SCMP_ACT_ERRNO(EPERM), "prctl", 1, {0, SCMP_CMP_EQ, PR_SET_PDEATHSIG, 0});  // dies with us
  // Its flags lie in memory, which a filter cannot read; the C library then takes clone.
  add(SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, {});
  return Export(filter);
}

}  // namespace pivotal::pts
