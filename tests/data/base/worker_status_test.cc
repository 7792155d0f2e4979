// Apache-2.0. What processes at work tell, and who of them is still there.
#include "data/base/worker_status.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "tests/support/full_disk.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Counter : public Progress {
 public:
  void Begin(std::string_view, int64_t, std::string_view, int64_t) override { ++begins; }
  void Update(int64_t, std::string_view) override { ++updates; }
  void Tell(std::string_view, std::span<const ProgressNumber>) override { ++tells; }
  void End() override { ++ends; }
  bool StopRequested() const override { return stop; }
  int begins = 0, updates = 0, tells = 0, ends = 0;
  bool stop = false;
};

class WorkerStatusTest : public ::testing::Test {
 protected:
  fs::path status() const { return temp_.path() / "status"; }
  WorkerStatusTest() { temp_.Write("run.toml", ""); }

  testing::TempDir temp_;
  Counter shown_;
};

TEST_F(WorkerStatusTest, TellsWhatTheWorkReportsAndPassesItOn) {
  RecordedProgress progress(shown_, temp_.path(), "run.toml", 3);
  progress.Begin("search", 300, "problems", 20);
  const std::array numbers = {ProgressNumber{"tokens", 1500}, ProgressNumber{"pairs", 2}};
  progress.Tell("problems a to b", numbers);
  progress.Update(30, "pairs 2");
  progress.Begin("train", 7, "steps", 0);  // is recorded at once
  progress.End();
  shown_.stop = true;
  EXPECT_TRUE(progress.StopRequested());
  EXPECT_EQ(shown_.begins, 2);
  EXPECT_EQ(shown_.updates, 1);
  EXPECT_EQ(shown_.tells, 1);
  EXPECT_EQ(shown_.ends, 1);
  const auto found = ReadWorkers(temp_.path());
  EXPECT_THAT(found.faults, IsEmpty());
  ASSERT_EQ(found.workers.size(), 1u);
  const WorkerStatus& status = found.workers.front();
  EXPECT_EQ(status.process.pid, ::getpid());
  EXPECT_EQ(status.rank, 3);
  EXPECT_EQ(status.phase, "train");
  EXPECT_EQ(status.total, 7);
  EXPECT_EQ(status.unit, "steps");
  EXPECT_EQ(status.numbers.at("tokens"), 1500) << "numbers outlive phases";
  EXPECT_NEAR(status.written, UnixTime(), 60);
  EXPECT_EQ(LifeOf(status, UnixTime() + 1e6), WorkerLife::kWorks) << "the process is there";
}

TEST_F(WorkerStatusTest, LeavesNothingBehind) {
  {
    RecordedProgress progress(shown_, temp_.path(), "run.toml");
    EXPECT_EQ(PathsIn(status()).size(), 1u);
    RecordedProgress other(shown_, temp_.path(), "run.toml");
    EXPECT_EQ(PathsIn(status()).size(), 2u);
    other.Close();
    other.Begin("search", 1, "problems", 0);
    EXPECT_EQ(PathsIn(status()).size(), 1u) << "nothing is recorded once it is closed";
  }
  EXPECT_FALSE(fs::exists(status()));
}

// The folder is made once: a process that hung must not make it again in a run that others ended.
TEST_F(WorkerStatusTest, DoesNotComeBack) {
  RecordedProgress progress(shown_, temp_.path(), "run.toml");
  RemoveStatus(temp_.path());
  progress.Begin("search", 1, "problems", 0);
  EXPECT_FALSE(fs::exists(status()));
}

// Another process makes the folder of the run, and refuses one that is not empty.
TEST_F(WorkerStatusTest, WaitsForTheRun) {
  const fs::path run = temp_.path() / "run";
  RecordedProgress progress(shown_, run, "train.toml");
  EXPECT_FALSE(fs::exists(run));
  fs::create_directory(run);
  progress.Begin("train", 5, "steps", 0);
  EXPECT_TRUE(fs::is_empty(run));
  temp_.Write("run/train.toml", "");
  progress.Begin("train", 5, "steps", 0);
  EXPECT_EQ(ReadWorkers(run).workers.size(), 1u);
}

TEST_F(WorkerStatusTest, AFullDiskStopsNothing) {
  RecordedProgress progress(shown_, temp_.path(), "run.toml");
  progress.Begin("search", 1, "problems", 0);
  {
    const testing::FullDisk disk(10);
    progress.Begin("confirm", 2, "pairs", 0);
  }
  const auto found = ReadWorkers(temp_.path());
  ASSERT_EQ(found.workers.size(), 1u);
  EXPECT_EQ(found.workers.front().phase, "search") << "what was written before stays whole";
  EXPECT_EQ(PathsIn(status()).size(), 1u);
}

TEST_F(WorkerStatusTest, KnowsAProcessThatWasKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    RecordedProgress progress(shown_, temp_.path(), "run.toml");
    for (;;) ::pause();
  }
  while (ReadWorkers(temp_.path()).workers.empty()) ::usleep(1000);
  const auto status = ReadWorkers(temp_.path()).workers.front();
  EXPECT_EQ(status.process.pid, child);
  EXPECT_EQ(LifeOf(status, UnixTime()), WorkerLife::kWorks);
  ::kill(child, SIGKILL);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(LifeOf(status, UnixTime()), WorkerLife::kGone) << "it is a zombie now";
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(LifeOf(status, UnixTime()), WorkerLife::kGone);
  EXPECT_EQ(ReadWorkers(temp_.path()).workers.size(), 1u);
}

// Another process got the number of one that is gone.
TEST_F(WorkerStatusTest, TellsPidsApart) {
  WorkerStatus status;
  status.process = ProcessName::Own();
  EXPECT_EQ(LifeOf(status, UnixTime()), WorkerLife::kWorks);
  status.process.start -= 100;
  EXPECT_EQ(LifeOf(status, UnixTime()), WorkerLife::kGone);
}

TEST_F(WorkerStatusTest, OtherMachinesFallSilent) {
  WorkerStatus status;
  status.process = ProcessName::Own();
  status.process.machine = "elsewhere";
  status.process.start -= 100;
  status.written = 1000;
  EXPECT_EQ(LifeOf(status, 1010), WorkerLife::kWorks);
  EXPECT_EQ(LifeOf(status, 2000), WorkerLife::kSilent);
}

TEST_F(WorkerStatusTest, BrokenFilesAreFaults) {
  { RecordedProgress progress(shown_, temp_.path(), "run.toml"); }
  fs::create_directory(status());
  const RecordedProgress progress(shown_, temp_.path(), "run.toml");
  const std::string whole = ReadFile(PathsIn(status()).front());
  const auto json = nlohmann::json::parse(whole);
  const auto broken = [&](const std::string& name, const std::string& text) {
    WriteFile(status() / name, text);
    const auto found = ReadWorkers(temp_.path());
    fs::remove(status() / name);
    EXPECT_EQ(found.workers.size(), 1u) << text;
    ASSERT_EQ(found.faults.size(), 1u) << text;
    EXPECT_THAT(found.faults.front(), HasSubstr((status() / name).string()));
  };
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, whole.size() / 2})
    broken("a.json", whole.substr(0, size));
  for (const auto& [key, value] : json.items()) {
    auto other = json;
    other.erase(key);
    broken("a.json", other.dump());
    other[key] = value.is_string() ? nlohmann::json(1) : nlohmann::json("x");
    broken("a.json", other.dump());
  }
  auto other = json;
  other["pid"] = -1;
  broken("a.json", other.dump());
  WriteFile(status() / "b.json.tmp", "half");
  WriteFile(status() / "notes.txt", "x");
  EXPECT_THAT(ReadWorkers(temp_.path()).faults, IsEmpty()) << "other files are nobody's status";
}

TEST_F(WorkerStatusTest, TextsThatAreNotUtf8AreReplaced) {
  RecordedProgress progress(shown_, temp_.path(), "run.toml");
  progress.Begin("a\xff", 1, "b", 0);
  const auto found = ReadWorkers(temp_.path());
  EXPECT_THAT(found.faults, IsEmpty());
  ASSERT_EQ(found.workers.size(), 1u);
  EXPECT_EQ(found.workers.front().phase, "a\uFFFD");
}

}  // namespace
}  // namespace pivotal::data
