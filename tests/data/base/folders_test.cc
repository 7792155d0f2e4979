// Apache-2.0.
#include "data/base/folders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using testing::ErrorText;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

class Folders : public ::testing::Test {
 protected:
  Folders() { temp_.Write("file", "12345"); }
  fs::path Path(const std::string& name) const { return temp_.path() / name; }

  testing::TempDir temp_;
};

TEST_F(Folders, TellWhatIsThere) {
  CreateFolders(Path("a/b"));
  CreateFolders(Path("a/b"));
  EXPECT_TRUE(Exists(Path("file")));
  EXPECT_FALSE(Exists(Path("none")));
  EXPECT_FALSE(Exists(Path("file/none")));
  EXPECT_TRUE(IsFolder(Path("a")));
  EXPECT_FALSE(IsFolder(Path("file")));
  EXPECT_EQ(FileSize(Path("file")), 5u);
  Rename(Path("file"), Path("a/b/moved"));
  EXPECT_THAT(PathsIn(temp_.path()), UnorderedElementsAre(Path("a")));
  EXPECT_THAT(FilesUnder(temp_.path()), UnorderedElementsAre(Path("a/b/moved")));
  RemoveAll(Path("a"));
  RemoveAll(Path("a"));
  EXPECT_FALSE(Exists(Path("a")));
  EXPECT_EQ(Absolute("x"), fs::current_path() / "x");
}

// A name that is too long stands for all that the system refuses.
TEST_F(Folders, RefusalsAreErrorsThatNameThePath) {
  const fs::path refused = Path(std::string(300, 'x'));
  const auto expect = [&](const auto& call) {
    const std::string text = ErrorText(call);
    EXPECT_THAT(text, StartsWith(refused.string() + ": can't "));
    EXPECT_THAT(text, HasSubstr("file name too long"));
  };
  expect([&] { Exists(refused); });
  expect([&] { IsFolder(refused); });
  expect([&] { FileSize(refused); });
  expect([&] { PathsIn(refused); });
  expect([&] { FilesUnder(refused); });
  expect([&] { CreateFolders(refused); });
  expect([&] { RemoveAll(refused); });
  expect([&] { Rename(refused, Path("other")); });
  EXPECT_THAT(ErrorText([&] { CreateFolders(Path("file/under")); }),
              StartsWith(Path("file/under").string() + ": can't create the folder: not a direct"));
}

}  // namespace
}  // namespace pivotal::data
