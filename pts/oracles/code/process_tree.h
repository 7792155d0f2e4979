// Apache-2.0. What a process and its descendants take, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace pivotal::pts {

// How descendants are found. The files /proc/*/task/*/children name them, but kernels without
// CONFIG_PROC_CHILDREN have no such files; the parents in all of /proc/*/stat take longer to read
// and are always there.
enum class Kinship { kChildrenFiles, kParents };

// Returns the quicker way that this kernel offers.
Kinship BestKinship();

// Returns the child processes of a process; none for a process that is gone.
std::vector<pid_t> ChildrenOf(pid_t process, Kinship kinship = BestKinship());

struct TreeUse {
  int64_t bytes = 0;  // resident memory; pages that several processes share count for each
  int64_t tasks = 0;  // processes and threads
};

// Returns what `root` and all its descendants take. A process that ends meanwhile counts 0.
TreeUse UseOfTree(pid_t root, Kinship kinship = BestKinship());

// Returns the number of processes and threads of a user, which RLIMIT_NPROC counts.
int64_t TasksOfUser(uid_t user);

}  // namespace pivotal::pts
