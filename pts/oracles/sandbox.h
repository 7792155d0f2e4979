// Apache-2.0. Where programs that nobody has read are run: bubblewrap, or only resource limits.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pts/oracles/oracle_options.h"
#include "pts/oracles/subprocess.h"

namespace pivotal::pts {

// Inside bubblewrap a program has: its own user, process, IPC, host name, cgroup and network
// namespaces (no network, not even this machine's), no capabilities, /usr and what /bin and /lib
// need of it read-only, /proc and /dev of its own, and one place to write, /tmp in memory; nothing
// else of the host's files. It dies with us, and all of its processes with it. Resource limits are
// the caller's (code_harness.h).
//
// Root hands it to the user 65534 first: the kernel does not limit root's processes.
class Sandbox {
 public:
  enum class Kind {
    kBubblewrap,
    kNone  // a session, an empty folder and (as root) the user 65534 of its own; sees the host
  };

  // Uses `options.files` and `options.bubblewrap`.
  Sandbox(Kind kind, const OracleOptions& options);

  // How `argv` is started there: pipe 3 to us, an environment of only PATH, HOME, LANG and
  // settings that make runs repeatable. `folder` is used without bubblewrap: where it starts and
  // what HOME is.
  SubprocessSpec Spec(const std::vector<std::string>& argv,
                      const std::filesystem::path& folder) const;
  // Kills all that `child`, started with Spec, has started, and waits for it.
  void Kill(Subprocess& child) const;
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
  std::vector<std::string> prefix_;
  std::string filter_;
};

// A new empty folder that a program of Sandbox::Kind::kNone may write to; removed with its content.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace pivotal::pts
