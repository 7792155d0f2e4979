// Apache-2.0. Simulates a full disk: while it lives, this process can write no file past `bytes`.
#pragma once

#include <signal.h>
#include <sys/resource.h>

#include <stdexcept>

namespace pivotal::testing {

class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    before_ = ::signal(SIGXFSZ, SIG_IGN);  // a write past the limit then fails with EFBIG
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit = {bytes, old_.rlim_max};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) throw std::runtime_error("setrlimit failed");
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, before_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit old_{};
  void (*before_)(int) = SIG_DFL;
};

}  // namespace pivotal::testing
