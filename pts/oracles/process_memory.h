// Apache-2.0. Memory of a process and of all that descend from it.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace pivotal::pts {

// Resident bytes of `root`, its children and theirs, pages that several share counted for each;
// from /proc, so a process that goes away meanwhile counts 0.
int64_t ResidentBytes(pid_t root);

}  // namespace pivotal::pts
