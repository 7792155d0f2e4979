// Apache-2.0. Helpers of the fuzz targets. pivotal::Error is the right response to bad input; any
// other exception is a bug.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "data/base/error.h"
#include "tests/support/temp_dir.h"

namespace pivotal::testing {

inline std::string_view Text(const uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Returns a folder that lives as long as the process.
inline const TempDir& Folder() {
  static const TempDir folder;
  return folder;
}

template <typename Call>
void AllowError(Call&& call) {
  try {
    call();
  } catch (const Error&) {
  }
}

}  // namespace pivotal::testing
