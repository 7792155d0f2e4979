// Apache-2.0. Runs untrusted programs in bubblewrap, or with resource limits alone.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/base/subprocess.h"
#include "data/base/temp_folder.h"
#include "pivotal/oracle.h"

namespace pivotal::pts {

// A place to run programs. In bubblewrap a program has namespaces of its own (user, process, IPC,
// host name, cgroup, network: no network at all, not even to this machine), no capabilities, /usr
// and what /bin and /lib need of it read-only, a /proc and /dev of its own, and one folder to write
// to, /tmp in memory; it sees no other file of the host. It dies with this process, and its own
// processes die with it. The caller sets resource limits (runner.cc).
//
// If this process is root, programs run as the user 65534: the kernel does not limit root's
// processes.
class Sandbox {
 public:
  enum class Kind {
    kBubblewrap,
    // no isolation but a session, an empty folder and, as root, the user 65534; sees the host
    kNone
  };

  // Uses `options.files` and `options.bubblewrap`.
  Sandbox(Kind kind, const OracleOptions& options);

  // Returns how to start `argv` there: with pipe 3 to this process, and an environment that holds
  // PATH, HOME, LANG and settings that make runs repeatable. Without bubblewrap `folder` is the
  // working directory and HOME.
  data::SubprocessSpec Spec(const std::vector<std::string>& argv,
                            const std::filesystem::path& folder) const;
  // Kills `child`, which was started with Spec, and all that it has started, and waits for it.
  void Kill(data::Subprocess& child) const;
  Kind kind() const { return kind_; }
  // Returns the most processes and threads that RLIMIT_NPROC may allow a program, so that it can
  // have `processes` of them. The kernel counts those in bubblewrap apart, but only from Linux 5.14
  // on; else it counts all that the user has, so they are added, and room for what the user starts
  // meanwhile.
  int64_t ProcessLimit(int64_t processes) const;

 private:
  Kind kind_;
  std::vector<std::string> prefix_;
  std::string filter_;
};

// An empty folder that a program of Kind::kNone may write to; it is removed with its content.
class ScratchFolder : public data::TempFolder {
 public:
  ScratchFolder();
};

}  // namespace pivotal::pts
