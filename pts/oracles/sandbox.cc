// Apache-2.0.
#include "pts/oracles/sandbox.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <system_error>

#include "data/error.h"
#include "pts/oracles/process_tree.h"
#include "pts/oracles/syscall_filter.h"

namespace pivotal::pts {
namespace {

constexpr uid_t kNobody = 65534;

// True if `user` is a number here: in a container's user namespace it may not be.
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
  std::vector<std::string> argv = {options.bubblewrap, "--unshare-user", "--unshare-all",
                                   "--as-pid-1", "--die-with-parent", "--new-session"};
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

SubprocessSpec Sandbox::Spec(const std::vector<std::string>& argv,
                             const std::filesystem::path& folder) const {
  SubprocessSpec spec;
  spec.argv = prefix_;
  Append(spec.argv, argv);
  const bool bubblewrap = kind_ == Kind::kBubblewrap;
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin",
                      "HOME=" + (bubblewrap ? "/tmp" : folder.string()),
                      "LANG=C.UTF-8",
                      "PYTHONHASHSEED=0",  // one verdict for one program
                      "OMP_NUM_THREADS=1",
                      "OPENBLAS_NUM_THREADS=1"};
  spec.folder = bubblewrap ? "/" : folder.string();
  spec.reports = true;
  spec.preloaded = filter_;
  return spec;
}

// bwrap's child is the first process of the sandbox: with it, all others end, and bwrap waits for
// it (--as-pid-1; else it would not). Killed first, bwrap would leave it to the host's first
// process, which in a container may never wait for it.
void Sandbox::Kill(Subprocess& child) const {
  if (kind_ == Kind::kBubblewrap) {
    for (const pid_t first : ChildrenOf(child.id())) ::kill(first, SIGKILL);
    child.WaitOrKill(Subprocess::Clock::now() + std::chrono::seconds(1));
  }
  child.Kill();
}

ScratchFolder::ScratchFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "pivotal_run_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) Fail("{}: {}", name, std::strerror(errno));
  path_ = name;
  if (RunsAsNobody() && ::chown(name.c_str(), kNobody, kNobody) != 0)
    Fail("{}: {}", name, std::strerror(errno));
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace pivotal::pts
