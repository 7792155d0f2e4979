// Apache-2.0.
#include "data/base/run_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_text.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

using testing::ErrorText;
using ::testing::HasSubstr;

TEST(RunLock, TheSecondIsRefusedUntilTheFirstIsGone) {
  const testing::TempDir run;
  {
    const RunLock lock(run.path());
    EXPECT_THAT(ErrorText([&] { RunLock second(run.path()); }), HasSubstr("another process"));
  }
  EXPECT_EQ(ErrorText([&] { RunLock again(run.path()); }), "(no Error)");
}

TEST(RunLock, SeveralMayShareAndNoneBesideOneAlone) {
  const testing::TempDir run;
  {
    const RunLock first(run.path(), RunLock::Kind::kShared);
    EXPECT_EQ(ErrorText([&] { RunLock second(run.path(), RunLock::Kind::kShared); }), "(no Error)");
    EXPECT_THAT(ErrorText([&] { RunLock alone(run.path()); }), HasSubstr("another process"));
  }
  const RunLock alone(run.path());
  EXPECT_THAT(ErrorText([&] { RunLock shared(run.path(), RunLock::Kind::kShared); }),
              HasSubstr("another process"));
}

TEST(RunLock, AFolderThatIsAnotherNowIsFound) {
  const testing::TempDir temp;
  const auto run = temp.path() / "run", away = temp.path() / "away";
  std::filesystem::create_directory(run);
  const RunLock lock(run);
  EXPECT_EQ(ErrorText([&] { lock.Check(); }), "(no Error)");
  std::filesystem::rename(run, away);
  EXPECT_THAT(ErrorText([&] { lock.Check(); }), HasSubstr("was moved, removed or replaced"));
  std::filesystem::create_directory(run);
  const RunLock other(run);
  EXPECT_THAT(ErrorText([&] { lock.Check(); }), HasSubstr("run/lock: gone, or not the file"));
  std::filesystem::remove_all(run);
  std::filesystem::rename(away, run);
  EXPECT_EQ(ErrorText([&] { lock.Check(); }), "(no Error)");
}

TEST(RunLock, AMissingFolderIsNamed) {
  EXPECT_THAT(ErrorText([] { RunLock lock("/no/such/run"); }), HasSubstr("/no/such/run/lock"));
}

TEST(TryLockFile, OneHoldsItAndMayRemoveIt) {
  const testing::TempDir temp;
  const auto path = temp.path() / "lock";
  {
    const Descriptor first = TryLockFile(path);
    EXPECT_TRUE(first);
    EXPECT_FALSE(TryLockFile(path));
    std::filesystem::remove(path);
    EXPECT_TRUE(TryLockFile(path)) << "another file";
  }
  EXPECT_TRUE(TryLockFile(path));
  EXPECT_THAT(ErrorText([] { TryLockFile("/no/such/folder/lock"); }), HasSubstr("/no/such"));
}

}  // namespace
}  // namespace pivotal::data
