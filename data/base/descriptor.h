// Apache-2.0. POSIX file descriptors.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <utility>

namespace pivotal::data {

// Owns a file descriptor and closes it.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() { Reset(); }
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    Reset();
    number_ = std::exchange(other.number_, -1);
    return *this;
  }

  void Reset() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }
  int get() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

// Opens `path` with `flags` of open(2) and O_CLOEXEC; a new file gets mode 0644 less the umask.
// Throws Error that names the path and the cause.
Descriptor OpenFile(const std::filesystem::path& path, int flags);

// True if `path` still names the file that was opened as `file`: false after it was moved, removed
// or replaced.
bool IsStillAt(const Descriptor& file, const std::filesystem::path& path);

}  // namespace pivotal::data
