// Apache-2.0. The exceptions that Pivotal throws.
#pragma once

#include <stdexcept>

namespace pivotal {

// Reports bad input or a failed operation. what() is one line that names the file, the place and
// the remedy.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Reports that work ended early because Progress::StopRequested() said so. Everything that was
// finished before is on disk.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace pivotal
