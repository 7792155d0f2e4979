// Apache-2.0.
#include "pts/oracles/code/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>

#include "data/base/descriptor.h"
#include "data/base/error.h"
#include "data/base/subprocess.h"
#include "pts/oracles/code/process_tree.h"

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
    "init_module", "finit_module", "delete_module", "quotactl", "syslog", "personality", "vmsplice",
    "move_pages", "mbind", "set_mempolicy", "migrate_pages"};

constexpr int kNamespaceFlags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                   CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};

void Check(int error) {
  if (error < 0) Fail("the code oracle's seccomp filter cannot be made: error {}", -error);
}

std::string Export(const Filter& filter) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) Check(-errno);
  const data::Descriptor read(ends[0]);
  data::Descriptor write(ends[1]);
  Check(seccomp_export_bpf(filter.get(), write.get()));  // a few KiB: a pipe holds 64
  write.Reset();
  std::string program;
  std::array<char, 4096> buffer;
  ssize_t n = 0;
  while ((n = ::read(read.get(), buffer.data(), buffer.size())) > 0)
    program.append(buffer.data(), static_cast<std::size_t>(n));
  return program;
}

// Returns a seccomp program for bwrap --seccomp. It refuses (EPERM) system calls that no test
// needs: memory that no limit counts (memfd, System V and POSIX queues), new namespaces and mounts,
// access to other processes, and the parts of the kernel that few programs need and many attacks
// begin with (bpf, io_uring, userfaultfd, keys). Throws Error if libseccomp cannot make it.
std::string SyscallFilter() {
  const Filter filter(seccomp_init(SCMP_ACT_ALLOW), &seccomp_release);
  if (!filter) Check(-ENOMEM);
  const auto add = [&](uint32_t action, const char* name, unsigned count, scmp_arg_cmp compared) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call != __NR_SCMP_ERROR)  // an older library lacks the newest names
      Check(seccomp_rule_add_array(filter.get(), action, call, count, &compared));
  };
  for (const char* name : kRefused) add(SCMP_ACT_ERRNO(EPERM), name, 0, {});
  for (const int flag : kNamespaceFlags) {
    const auto bit = static_cast<scmp_datum_t>(flag);
    add(SCMP_ACT_ERRNO(EPERM), "clone", 1, {0, SCMP_CMP_MASKED_EQ, bit, bit});
  }
  // Keeps the program from outliving this process.
  add(SCMP_ACT_ERRNO(EPERM), "prctl", 1, {0, SCMP_CMP_EQ, PR_SET_PDEATHSIG, 0});
  // A filter cannot read the flags of clone3, which lie in memory; the C library falls back to
  // clone.
  add(SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, {});
  return Export(filter);
}

constexpr uid_t kNobody = 65534;

// Returns true if the user id exists here; a container's user namespace may lack it.
bool UserExists(uid_t user) {
  std::ifstream in("/proc/self/uid_map");
  for (uint64_t first, outside, count; in >> first >> outside >> count;) {
    if (user >= first && user - first < count) return true;
  }
  return false;
}

bool RunsAsNobody() { return ::geteuid() == 0 && UserExists(kNobody); }

void Append(std::vector<std::string>& list, const std::vector<std::string>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

std::vector<std::string> Bubblewrap(const OracleOptions& options) {
  std::vector<std::string> argv = {options.bubblewrap, "--unshare-user",    "--unshare-all",
                                   "--as-pid-1",       "--die-with-parent", "--new-session"};
  Append(argv, {"--cap-drop", "ALL", "--hostname", "sandbox", "--seccomp", "4"});
  Append(argv, {"--ro-bind", "/usr", "/usr"});
  for (const char* path :
       {"/bin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache"})
    Append(argv, {"--ro-bind-try", path, path});
  Append(argv, {"--proc", "/proc", "--dev", "/dev"});
  Append(argv, {"--size", std::to_string(options.files << 20), "--tmpfs", "/tmp"});
  Append(argv, {"--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"});
  return argv;
}

}  // namespace

Sandbox::Sandbox(Kind kind, const OracleOptions& options) : kind_(kind) {
  if (RunsAsNobody()) {
    const std::string id = std::to_string(kNobody);
    prefix_ = {"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--"};
  }
  if (kind == Kind::kBubblewrap) {
    Append(prefix_, Bubblewrap(options));
    filter_ = SyscallFilter();
  }
}

data::SubprocessSpec Sandbox::Spec(const std::vector<std::string>& argv,
                                   const std::filesystem::path& folder) const {
  data::SubprocessSpec spec;
  spec.argv = prefix_;
  Append(spec.argv, argv);
  const bool bubblewrap = kind_ == Kind::kBubblewrap;
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin",
                      "HOME=" + (bubblewrap ? "/tmp" : folder.string()), "LANG=C.UTF-8",
                      // The same order of sets, so the same verdict, in every run.
                      "PYTHONHASHSEED=0", "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"};
  spec.folder = bubblewrap ? "/" : folder.string();
  spec.reports = true;
  spec.preloaded = filter_;
  return spec;
}

// The child of bwrap is the first process of the sandbox: all others end with it, and bwrap waits
// for it (--as-pid-1). If bwrap were killed first, the child would be left to the first process of
// the host, which in a container may never wait for it.
void Sandbox::Kill(data::Subprocess& child) const {
  if (kind_ == Kind::kBubblewrap) {
    for (const pid_t first : ChildrenOf(child.id())) ::kill(first, SIGKILL);
    child.WaitOrKill(data::Subprocess::Clock::now() + std::chrono::seconds(1));
  }
  child.Kill();
}

int64_t Sandbox::ProcessLimit(int64_t processes) const {
  constexpr int64_t kRoom = 256;
  utsname system = {};
  int major = 0, minor = 0;
  const bool known =
      ::uname(&system) == 0 && std::sscanf(system.release, "%d.%d", &major, &minor) == 2;
  const bool apart = known && (major > 5 || (major == 5 && minor >= 14));
  if (apart && kind_ == Kind::kBubblewrap) return processes;
  return TasksOfUser(RunsAsNobody() ? kNobody : ::getuid()) + processes + kRoom;
}

ScratchFolder::ScratchFolder() {
  if (RunsAsNobody() && ::chown(path().c_str(), kNobody, kNobody) != 0)
    Fail("{}: {}", path().string(), std::strerror(errno));
}

}  // namespace pivotal::pts
