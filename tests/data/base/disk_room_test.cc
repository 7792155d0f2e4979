// Apache-2.0. Compares with what df and du say.
#include "data/base/disk_room.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kMib = 1 << 20;

int64_t FreeByDf(const fs::path& folder) {
  int64_t bytes = -1;
  std::istringstream(
      testing::RunCommand("df --output=avail -B1 " + folder.string() + " | tail -1").output) >>
      bytes;
  return bytes;
}

TEST(DiskRoom, FreeBytesAreThoseOfDf) {
  const testing::TempDir temp;
  const auto free = FreeDiskBytes(temp.path());
  ASSERT_TRUE(free.has_value());
  // Other programs write meanwhile.
  EXPECT_NEAR(static_cast<double>(*free), static_cast<double>(FreeByDf(temp.path())), 512.0 * kMib);
  EXPECT_FALSE(FreeDiskBytes(temp.path() / "none").has_value());
}

TEST(DiskRoom, ReservedBytesAreNotFreeUntilTheyAreReleasedAndLeaveNoFile) {
  const testing::TempDir temp;
  constexpr int64_t kBytes = 256 * kMib;
  const int64_t before = FreeByDf(temp.path());
  if (before < 4 * kBytes) GTEST_SKIP() << "the disk is too full for the test";
  DiskRoom room(temp.path(), kBytes);
  if (FreeByDf(temp.path()) > before - kBytes / 2)
    GTEST_SKIP() << "the file system of " << temp.path() << " keeps no room in unnamed files";
  EXPECT_TRUE(fs::is_empty(temp.path()));
  room.Release();
  EXPECT_GT(FreeByDf(temp.path()), before - kBytes / 2);
}

}  // namespace
}  // namespace pivotal::data
