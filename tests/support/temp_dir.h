// Apache-2.0. A temporary folder for the files of a test.
#pragma once

#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

#include "data/base/temp_folder.h"

namespace pivotal::testing {

class TempDir : public data::TempFolder {
 public:
  // Writes `text` to a file of this folder and returns its path.
  std::filesystem::path Write(std::string_view name, std::string_view text) const {
    const std::filesystem::path file = path() / name;
    std::error_code ignored;
    std::filesystem::remove(file, ignored);  // ext4 syncs a file that is truncated and rewritten
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }
};

}  // namespace pivotal::testing
