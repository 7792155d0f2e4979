// Apache-2.0.
#include "data/traces/trace_store.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/error_text.h"
#include "tests/support/example_traces.h"
#include "tests/support/full_disk.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::EmptyTrace;
using testing::ErrorText;
using testing::ExampleTrace;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class TraceStoreTest : public ::testing::Test {
 protected:
  TraceStoreTest() { fs::create_directory(run_); }
  std::vector<std::string> Ids() const {
    std::vector<std::string> ids;
    for (const QueryTrace& query : store_.ReadAll()) ids.push_back(query.id);
    return ids;
  }
  fs::path Shard(const std::string& name) const { return run_ / "shards" / name; }

  testing::TempDir folder_;
  fs::path run_ = folder_.path() / "run";
  TraceStore store_{run_};
};

TEST_F(TraceStoreTest, AnEmptyRunHasNothing) {
  EXPECT_TRUE(store_.FinishedIds().empty());
  EXPECT_TRUE(store_.ReadAll().empty());
  EXPECT_THAT(testing::ErrorText([&] { LoadTraces(run_); }),
              ::testing::HasSubstr("no traces.h5 and no shard"));
  store_.Append({});
  EXPECT_TRUE(fs::is_empty(run_)) << "reading makes no folders";
}

TEST_F(TraceStoreTest, GroupsBecomeShardsAndThenOneFile) {
  const std::vector<QueryTrace> first = {ExampleTrace("a"), EmptyTrace("b")};
  store_.Append(first);
  store_.Append({ExampleTrace("c")});
  EXPECT_TRUE(fs::exists(Shard("000001.h5")) && fs::exists(Shard("000002.h5")));
  EXPECT_THAT(store_.FinishedIds(), UnorderedElementsAre("a", "b", "c"));
  store_.Consolidate();
  EXPECT_FALSE(fs::exists(run_ / "shards"));
  testing::ExpectSame(store_.ReadAll(), {first[0], first[1], ExampleTrace("c")});
  testing::ExpectSame(LoadTraces(run_ / "traces.h5"), store_.ReadAll());
}

TEST_F(TraceStoreTest, ARunGoesOnAfterConsolidation) {
  store_.Append({EmptyTrace("a")});
  store_.Consolidate();
  store_.Consolidate();
  store_.Append({EmptyTrace("b")});
  EXPECT_THAT(Ids(), ElementsAre("a", "b"));
  store_.Consolidate();
  EXPECT_THAT(Ids(), ElementsAre("a", "b"));
}

TEST_F(TraceStoreTest, ShardsAreReadInTheOrderOfTheirNumbers) {
  store_.Append({EmptyTrace("a")});
  fs::rename(Shard("000001.h5"), Shard("1000000.h5"));
  store_.Append({EmptyTrace("b")});
  EXPECT_TRUE(fs::exists(Shard("1000001.h5"))) << "numbers go on past the largest";
  store_.Consolidate();
  EXPECT_THAT(Ids(), ElementsAre("a", "b"));
}

// Two processes of a shared run, neither of which can see what the other has just written.
TEST_F(TraceStoreTest, WorkersNeverWriteAShardOfTheSameName) {
  TraceStore first(run_, 1), second(run_, 2);
  store_.Append({EmptyTrace("a")});
  first.Append({EmptyTrace("b")});
  // The second worker lists the folder without the shard of the first, as an NFS client may.
  fs::rename(Shard("000001-1.h5"), run_ / "unseen");
  second.Append({EmptyTrace("c")});
  fs::rename(run_ / "unseen", Shard("000001-1.h5"));
  first.Append({EmptyTrace("d")});
  for (const char* name : {"000001.h5", "000001-1.h5", "000001-2.h5", "000002-1.h5"})
    EXPECT_TRUE(fs::exists(Shard(name))) << name;
  EXPECT_THAT(Ids(), ElementsAre("a", "b", "c", "d"));
  // A worker that gets the number of an earlier one does not overwrite its shards.
  TraceStore(run_, 1).Append({EmptyTrace("e")});
  EXPECT_TRUE(fs::exists(Shard("000003-1.h5")));
  store_.Consolidate();
  EXPECT_THAT(Ids(), ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_FALSE(fs::exists(run_ / "shards"));
}

// The run was killed after traces.h5 was renamed into place, before all shards were removed.
TEST_F(TraceStoreTest, AQueryCountsOnceAfterAKillInsideConsolidate) {
  store_.Append({EmptyTrace("a")});
  store_.Append({EmptyTrace("b")});
  SaveTraces(run_ / "traces.h5", store_.ReadAll());
  fs::remove(Shard("000001.h5"));
  EXPECT_THAT(Ids(), ElementsAre("a", "b"));
  EXPECT_EQ(store_.FinishedIds().size(), 2u);
  store_.Append({EmptyTrace("c")});
  store_.Consolidate();
  EXPECT_THAT(Ids(), ElementsAre("a", "b", "c"));
  // The last step of Consolidate() removes the empty folder of the shards.
  fs::create_directory(run_ / "shards");
  store_.Consolidate();
  EXPECT_FALSE(fs::exists(run_ / "shards"));
}

// The run was killed while it wrote a shard; the partial file is not a shard.
TEST_F(TraceStoreTest, PartialAndForeignFilesAreIgnored) {
  store_.Append({EmptyTrace("a")});
  std::ofstream(Shard("000002.h5.tmp")) << "half";
  std::ofstream(Shard("notes.h5")) << "mine";
  std::ofstream(Shard("12x.h5")) << "mine";
  EXPECT_THAT(Ids(), ElementsAre("a"));
  store_.Append({EmptyTrace("b")});
  EXPECT_THAT(Ids(), ElementsAre("a", "b"));
}

TEST_F(TraceStoreTest, ADamagedShardIsNamed) {
  store_.Append({EmptyTrace("a")});
  std::ofstream(Shard("000002.h5")) << "damage";
  EXPECT_THAT(ErrorText([&] { store_.FinishedIds(); }), HasSubstr("shards/000002.h5: damaged"));
  EXPECT_THAT(ErrorText([&] { store_.Consolidate(); }), HasSubstr("shards/000002.h5: damaged"));
  EXPECT_TRUE(fs::exists(Shard("000001.h5"))) << "nothing is removed";
}

TEST_F(TraceStoreTest, AFullDiskLosesNothing) {
  store_.Append({EmptyTrace("a")});
  store_.Append({ExampleTrace("b")});
  EXPECT_THAT(ErrorText([&] {
                const testing::FullDisk full(2000);
                store_.Append({ExampleTrace("c")});
              }),
              HasSubstr("000003.h5: can't write: file too large"));
  EXPECT_THAT(ErrorText([&] {
                const testing::FullDisk full(2000);
                store_.Consolidate();
              }),
              HasSubstr("traces.h5: can't write: file too large"));
  EXPECT_THAT(Ids(), ElementsAre("a", "b"));
  EXPECT_FALSE(fs::exists(run_ / "traces.h5"));
}

TEST_F(TraceStoreTest, AFolderThatCannotBeMadeIsNamed) {
  std::ofstream(run_ / "shards") << "a file";
  EXPECT_THAT(ErrorText([&] { store_.Append({EmptyTrace("a")}); }),
              HasSubstr("run/shards: can't create the folder"));
}

TEST_F(TraceStoreTest, ARunFolderThatIsGoneIsNotMadeAnew) {
  fs::remove(run_);
  EXPECT_THAT(ErrorText([&] { store_.Append({EmptyTrace("a")}); }),
              HasSubstr("run/shards: can't create the folder: no such file or directory"));
  EXPECT_FALSE(fs::exists(run_));
}

TEST_F(TraceStoreTest, ReadersMissNothingWhileAnotherWrites) {
  std::jthread writer([&] {
    TraceStore store(run_);
    for (int i = 0; i < 60; ++i) {
      store.Append({EmptyTrace(std::to_string(i))});
      if (i % 2 == 1) store.Consolidate();
    }
  });
  for (std::size_t seen = 0; seen < 60;) {
    std::vector<std::string> now;
    ASSERT_EQ(ErrorText([&] { now = Ids(); }), "(no Error)");
    ASSERT_GE(now.size(), seen);
    for (std::size_t i = 0; i < now.size(); ++i) ASSERT_EQ(now[i], std::to_string(i));
    seen = now.size();
  }
}

TEST_F(TraceStoreTest, AQueryWithFewerFailedVerdictsTakesThePlaceOfTheOther) {
  const auto with_failures = [](const char* id, int32_t failed) {
    QueryTrace query = EmptyTrace(id);
    query.failed_verdicts = failed;
    query.seconds = failed;
    return query;
  };
  store_.Append({with_failures("a", 2), with_failures("b", 0), with_failures("c", 1)});
  EXPECT_THAT(store_.JudgedIds(), UnorderedElementsAre("b"));
  store_.Append({with_failures("c", 1), with_failures("a", 0)});
  EXPECT_THAT(store_.JudgedIds(), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(store_.FinishedIds(), UnorderedElementsAre("a", "b", "c"));
  for (int i = 0; i < 2; ++i) {
    const auto all = store_.ReadAll();
    ASSERT_EQ(all.size(), 3u);
    EXPECT_EQ(all[0].id + all[1].id + all[2].id, "abc") << "at the first one's place";
    EXPECT_EQ(all[0].failed_verdicts, 0);
    EXPECT_EQ(all[2].failed_verdicts, 1);
    store_.Append({with_failures("a", 5)});  // comes too late
    store_.Consolidate();
  }
}

}  // namespace
}  // namespace pivotal::data
