// Apache-2.0.
#include "cli/standard_input.h"

#include <array>
#include <cerrno>
#include <cstdio>

#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::cli {

std::unique_ptr<data::TempFolder> KeepStandardInput(std::filesystem::path& file) {
  if (file != "-") return nullptr;
  auto folder = std::make_unique<data::TempFolder>();
  file = folder->path() / "standard-input";
  data::FileSink copy(file);
  std::array<char, 1 << 16> bytes;
  while (const std::size_t got = std::fread(bytes.data(), 1, bytes.size(), stdin))
    copy.Write({bytes.data(), got});
  if (std::ferror(stdin) != 0) Fail("standard input: {}", data::ErrnoText(errno));
  copy.Commit();
  return folder;
}

}  // namespace pivotal::cli
