// Apache-2.0.
#include "data/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "data/error.h"
#include "data/file_sink.h"

namespace pivotal::data {

RunLock::RunLock(const std::filesystem::path& run) {
  const auto path = run / "lock";
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) Fail("{}: can't open: {}", path.string(), ErrnoText(errno));
  if (flock(file_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  close(file_);
  if (error == EWOULDBLOCK)
    Fail("{}: another process is at work in this run; wait for it, or stop it", run.string());
  Fail("{}: can't lock: {}", path.string(), ErrnoText(error));
}

RunLock::~RunLock() { close(file_); }

}  // namespace pivotal::data
