// Apache-2.0.
#include "data/base/temp_folder.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <fstream>
#include <optional>

#include "tests/support/error_text.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using testing::ErrorText;
using ::testing::HasSubstr;

TEST(TempFolder, IsEmptyAndGoesWithItsFiles) {
  std::optional<TempFolder> first(std::in_place);
  const TempFolder second;
  EXPECT_NE(first->path(), second.path());
  EXPECT_TRUE(fs::is_empty(first->path()));
  const fs::path path = first->path();
  fs::create_directory(path / "inner");
  std::ofstream(path / "inner" / "file") << "text";
  first.reset();
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(second.path()));
}

TEST(TempFolder, ABadTmpdirIsNamed) {
  const char* before = ::getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TMPDIR", "/no/such/folder", 1);
  EXPECT_THAT(ErrorText([] { TempFolder folder; }), HasSubstr("TMPDIR is not a folder"));
  if (before == nullptr) {
    ::unsetenv("TMPDIR");
  } else {
    ::setenv("TMPDIR", kept.c_str(), 1);
  }
}

}  // namespace
}  // namespace pivotal::data
