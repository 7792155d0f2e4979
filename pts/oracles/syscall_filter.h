// Apache-2.0. System calls that no test needs, refused inside the sandbox.
#pragma once

#include <string>

namespace pivotal::pts {

// A seccomp program for bwrap --seccomp. It refuses (EPERM) memory that no limit counts (memfd,
// System V and POSIX queues), new namespaces and mounts, looks into other processes, and the parts
// of the kernel that few programs need and many attacks begin with (bpf, io_uring, userfaultfd,
// keys).
// Throws Error where libseccomp cannot make it.
std::string SyscallFilter();

}  // namespace pivotal::pts
