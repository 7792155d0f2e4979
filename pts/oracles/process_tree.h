// Apache-2.0. A process and all that descend from it, as /proc shows them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace pivotal::pts {

// Empty for a process that is gone.
std::vector<pid_t> ChildrenOf(pid_t process);

// Resident bytes of `root`, its children and theirs, pages that several share counted for each.
// A process that goes away meanwhile counts 0.
int64_t ResidentBytes(pid_t root);

}  // namespace pivotal::pts
