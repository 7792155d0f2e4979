// Apache-2.0. A folder for temporary files.
#pragma once

#include <filesystem>

namespace pivotal::data {

// Creates an empty folder in TMPDIR (or /tmp) that only the user may enter; its destructor removes
// the folder and all that is in it. Throws Error if it can't be created.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace pivotal::data
