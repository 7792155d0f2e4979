// Apache-2.0. A file that grows while a run works, and never stops it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "data/base/descriptor.h"

namespace pivotal::experiments {

// Appends records to a file. Each record is flushed, so that a killed run keeps what it has logged.
// Records that a full disk does not take wait for the next one: a log is no reason to lose what is
// trained. The file never ends with a part of a record, unless the process is killed in between.
class LogFile {
 public:
  // Continues `path`, which is made with the folders above it when the first record comes.
  explicit LogFile(std::filesystem::path path);
  // Warns if the record cannot be written, unless others wait already.
  void Add(std::string_view record);
  // Tries to write the records that wait. Warns if there still are some.
  void Finish();

 private:
  // Return 0, or the errno of what failed.
  int Flush();
  int Open();

  std::filesystem::path path_;
  data::Descriptor file_;
  int64_t written_ = 0;  // size of the file
  std::string waiting_;  // records that could not be written
};

}  // namespace pivotal::experiments
