// Apache-2.0. A file descriptor that closes itself.
#pragma once

#include <unistd.h>

#include <utility>

namespace pivotal::pts {

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

}  // namespace pivotal::pts
