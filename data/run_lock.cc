// Apache-2.0.
#include "data/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/open_file.h"

namespace pivotal::data {

RunLock::RunLock(const std::filesystem::path& run, Kind kind) : path_(run / "lock") {
  file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) Fail("{}: can't open: {}", path_.string(), ErrnoText(errno));
  if (flock(file_, (kind == Kind::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return;
  const int error = errno;
  close(file_);
  if (error == EWOULDBLOCK)
    Fail("{}: another process is at work in this run; wait for it, or stop it", run.string());
  Fail("{}: can't lock: {}", path_.string(), ErrnoText(error));
}

RunLock::~RunLock() { close(file_); }

void RunLock::Check() const {
  if (!IsStillAt(file_, path_))
    Fail("{}: gone, or not the file that was locked: the run folder was moved, removed or replaced",
         path_.string());
}

}  // namespace pivotal::data
