// Apache-2.0.
#include "experiments/train/log_file.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "data/base/file_sink.h"

namespace pivotal::experiments {

LogFile::LogFile(std::filesystem::path path) : path_(std::move(path)) {}

void LogFile::Add(std::string_view record) {
  const bool first = waiting_.empty();
  waiting_ += record;
  if (const int error = Flush(); error != 0 && first)
    spdlog::warn("{}: cannot be written: {}; training goes on, and what it logs waits",
                 path_.string(), data::ErrnoText(error));
}

void LogFile::Finish() {
  if (const int error = Flush(); error != 0)
    spdlog::warn("{}: lacks what was logged last: {}", path_.string(), data::ErrnoText(error));
}

int LogFile::Flush() {
  if (waiting_.empty()) return 0;
  if (const int error = Open(); error != 0) return error;
  for (std::size_t done = 0; done < waiting_.size();) {
    const ssize_t wrote = ::write(file_.get(), waiting_.data() + done, waiting_.size() - done);
    if (wrote >= 0) {
      done += static_cast<std::size_t>(wrote);
    } else if (errno != EINTR) {
      const int error = errno;
      if (::ftruncate(file_.get(), written_) != 0) file_.Reset();  // looks at its size again
      return error;
    }
  }
  written_ += static_cast<int64_t>(waiting_.size());
  waiting_.clear();
  return 0;
}

int LogFile::Open() {
  if (file_) return 0;
  std::error_code ignored;
  std::filesystem::create_directories(path_.parent_path(), ignored);
  file_ = data::Descriptor(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  struct stat info {};
  if (!file_ || ::fstat(file_.get(), &info) != 0) {
    const int error = errno;
    file_.Reset();
    return error;
  }
  written_ = info.st_size;
  return 0;
}

}  // namespace pivotal::experiments
