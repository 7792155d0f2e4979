// Apache-2.0. The one exception type of the project.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace pivotal {

// Bad input or a failed operation. The text is one line that names the file, the place and the
// remedy; only the command line turns it into an exit code (1).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws Error with a fmt-formatted message.
template <typename... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// A work loop noticed that the user asked to stop; what was finished is on disk. Exit code 130.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace pivotal
