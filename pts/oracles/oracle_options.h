// Apache-2.0. Limits for the oracles that run programs; the others ignore them.
#pragma once

#include <cstdint>
#include <string>

namespace pivotal::pts {

struct OracleOptions {
  double timeout = 10;              // seconds of wall time for one judgement
  int64_t memory = 1024;            // MiB, for each process of a judgement and for all together
  int32_t processes = 16;           // processes and threads of one judgement; code oracle
  int64_t output = 1024;            // KiB: what a program may print; a command's answer line
  int64_t files = 64;               // MiB: the largest file, and all of /tmp; code oracle
  bool allow_unsandboxed = false;   // code oracle: run without bubblewrap where it cannot start
  std::string bubblewrap = "bwrap";  // program of the code oracle's sandbox; looked for in PATH
  int32_t threads = 0;              // processes of a command at most; 0: one per core

  // Throws Error that names the bad field.
  void Validate() const;
  int32_t ThreadsOrCores() const;
};

}  // namespace pivotal::pts
