// Apache-2.0.
#include "data/base/temp_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "data/base/error.h"
#include "data/base/file_sink.h"

namespace pivotal::data {

TempFolder::TempFolder() {
  std::error_code error;
  const auto parent = std::filesystem::temp_directory_path(error);
  if (error) Fail("TMPDIR is not a folder: {}", ErrnoText(error.value()));
  std::string name = (parent / "pivotal_XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    Fail("{}: can't create a folder for temporary files: {}", parent.string(), ErrnoText(errno));
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace pivotal::data
