// Apache-2.0.
#include "data/base/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::data {
namespace {

// `more`: LOCK_NB or 0.
Descriptor Locked(const std::filesystem::path& path, int more) {
  while (true) {
    Descriptor file = OpenFile(path, O_RDWR | O_CREAT);
    while (flock(file.get(), LOCK_EX | more) != 0) {
      if (errno == EWOULDBLOCK) return {};
      if (errno != EINTR) Fail("{}: can't lock: {}", path.string(), ErrnoText(errno));
    }
    if (IsStillAt(file, path)) return file;  // else the file was removed or replaced in between
  }
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& run, Kind kind)
    : path_(run / "lock"), file_(OpenFile(path_, O_RDWR | O_CREAT)) {
  if (flock(file_.get(), (kind == Kind::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK)
    Fail("{}: another process is at work in this run; wait for it, or stop it", run.string());
  Fail("{}: can't lock: {}", path_.string(), ErrnoText(errno));
}

void RunLock::Check() const {
  if (!IsStillAt(file_, path_))
    Fail("{}: gone, or not the file that was locked: the run folder was moved, removed or replaced",
         path_.string());
}

Descriptor LockFile(const std::filesystem::path& path) { return Locked(path, 0); }
Descriptor TryLockFile(const std::filesystem::path& path) { return Locked(path, LOCK_NB); }

}  // namespace pivotal::data
