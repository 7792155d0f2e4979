// Apache-2.0. Several processes search one run, or a shard of the problems each; some of them die.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/base/descriptor.h"
#include "data/base/file_sink.h"
#include "kernels/philox.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::PairsOf;
using testing::Pivotal;
using testing::RunCommand;

const std::string kSearch = testing::SearchArguments(12, 8, 4);

class SearchTeam : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    alone_seconds_ = testing::Seconds([] {
      const auto done = Pivotal(kSearch + Path("alone"));
      ASSERT_EQ(done.code, 0) << done.output;
    });
    alone_ = PairsOf(Temp().path() / "alone");
    ASSERT_FALSE(alone_.empty());
  }
  static const testing::TempDir& Temp() {
    static const testing::TempDir temp;
    return temp;
  }
  static std::string Path(const std::string& name) { return (Temp().path() / name).string(); }
  // Returns the command of one process of a team on one machine, with the variables that Open MPI
  // sets.
  static std::string Rank(int rank, int ranks, const std::string& arguments) {
    return fmt::format("OMP_NUM_THREADS=1 OMPI_COMM_WORLD_SIZE={} OMPI_COMM_WORLD_RANK={} {} {}",
                       ranks, rank, PIVOTAL_BINARY, arguments);
  }
  static std::vector<std::string> IdsOf(const std::string& run) {
    std::vector<std::string> ids;
    for (const auto& query : data::TraceStore(run).ReadAll()) ids.push_back(query.id);
    return ids;
  }
  static inline std::string alone_;  // the pairs that one process finds
  static inline double alone_seconds_ = 0;
};

TEST_F(SearchTeam, FindsWhatOneProcessFinds) {
  for (const int ranks : {2, 4}) {
    const std::string run = Path(fmt::format("ranks{}", ranks));
    std::string command;
    for (int rank = 1; rank < ranks; ++rank) command += Rank(rank, ranks, kSearch + run) + " & ";
    const auto result = RunCommand("{ " + command + Rank(0, ranks, kSearch + run) + "; wait; }");
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_THAT(result.output, HasSubstr("problems             12"));
    EXPECT_EQ(PairsOf(run), alone_) << ranks;
    EXPECT_EQ(IdsOf(run), IdsOf(Path("alone")));
    EXPECT_FALSE(fs::exists(fs::path(run) / "work"));
    EXPECT_FALSE(fs::exists(fs::path(run) / "shards"));
  }
}

TEST_F(SearchTeam, RunsUnderMpirun) {
  if (!testing::HasTool(testing::kMpirun)) return;
  const std::string run = Path("mpirun");
  const auto result = RunCommand(
      "OMP_NUM_THREADS=1 mpirun --allow-run-as-root --oversubscribe -n 2 " PIVOTAL_BINARY " " +
      kSearch + run);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(PairsOf(run), alone_);
  // Started again, no rank takes the run for that of its own launch.
  fs::remove(fs::path(run) / "traces.h5");
  const auto again = RunCommand(
      "OMP_NUM_THREADS=1 mpirun --allow-run-as-root --oversubscribe -n 2 " PIVOTAL_BINARY " " +
      kSearch + run);
  EXPECT_NE(again.code, 0);
  EXPECT_THAT(again.output, HasSubstr(run + ": exists and is not empty"));
  EXPECT_FALSE(fs::exists(fs::path(run) / "traces.h5"));
  EXPECT_FALSE(fs::exists(fs::path(run) / "shards"));
}

// Four network namespaces are the hosts of one mpirun. One of them loses its link and hangs, as it
// would without its file system. The others take over its problem after half a minute. When it
// comes back, all problems are finished.
TEST_F(SearchTeam, AHostThatIsCutOffCostsNothing) {
  if (!testing::HasTool(testing::kMpirun)) return;
  if (RunCommand(
          "unshare --net --mount --pid --fork sh -ec 'mount -t proc proc "
          "/proc; mkdir -p /run/netns; "
          "mount -t tmpfs tmpfs /run/netns; ip link add bridge type bridge; ip netns add a; "
          "ip link add port type veth peer name eth0 netns a; ip netns exec a unshare --uts true'")
          .code != 0)
    GTEST_SKIP() << "needs iproute2 with leave to make network namespaces";
  const fs::path folder = Temp().path() / "hosts";
  fs::create_directory(folder);
  const std::string search = testing::SearchArguments(32, 16, 1);
  const auto result = RunCommand(PIVOTAL_SOURCE_DIR "/tests/cli/four_hosts " + folder.string() +
                                 " " PIVOTAL_BINARY " " + search + (folder / "run").string());
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("1 processes stopped"), HasSubstr("the others have finished")));
  RecordProperty("seen", result.output);
  const auto alone = Pivotal(search + (folder / "alone").string());
  EXPECT_EQ(alone.code, 0) << alone.output;
  EXPECT_EQ(PairsOf(folder / "run"), PairsOf(folder / "alone"));
}

// Ranks 1 and 2 of three are killed at random moments; rank 0 repeats the problems that they held.
TEST_F(SearchTeam, ADeadProcessCostsNothing) {
  const int rounds = testing::KillCount(6) / 2;
  kernels::RandomStream random(1, kernels::MixStream(0, "team kill test"));
  for (int round = 0; round < rounds; ++round) {
    const std::string run = Path(fmt::format("killed{}", round));
    std::string command;
    for (int rank = 1; rank < 3; ++rank)
      command += fmt::format(
          "OMPI_COMM_WORLD_SIZE=3 OMPI_COMM_WORLD_RANK={} OMP_NUM_THREADS=1 {} & ", rank,
          testing::KilledAfter(alone_seconds_ * (0.1 + random.Uniform()), kSearch + run));
    const auto result =
        RunCommand("{ " + command + Rank(0, 3, kSearch + run) + "; CODE=$?; wait; exit $CODE; }");
    EXPECT_EQ(result.code, 0) << result.output;
    // A process that was killed after rank 0 had left may leave work to --resume.
    if (!fs::exists(fs::path(run) / "traces.h5") || fs::exists(fs::path(run) / "shards")) {
      const auto resumed = Pivotal("search --resume " + run);
      EXPECT_EQ(resumed.code, 0) << resumed.output;
    }
    EXPECT_EQ(PairsOf(run), alone_) << "round " << round;
  }
}

// The last process of a shared run dies before it has joined the shards. The one that left before
// it has said what to do then.
TEST_F(SearchTeam, AnyResumeJoinsWhatTheLastProcessDidNot) {
  for (const std::string how : {"", " --shared"}) {
    const fs::path run = Path(how.empty() ? "unjoined" : "unjoined-shared"), work = run / "work";
    fs::copy(Path("alone"), run);
    fs::create_directory(run / "shards");
    fs::rename(run / "traces.h5", run / "shards" / "000001-1.h5");
    fs::create_directory(work);
    data::WriteFile(work / "items", "12\n");
    data::WriteFile(work / "claims", "\njoined 1 .\n");
    data::WriteFile(work / "worker-1", "");
    {
      const data::Descriptor other = data::OpenFile(work / "worker-1", O_RDWR);
      ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
      const auto first = Pivotal("search --resume " + run.string() + " --shared");
      EXPECT_EQ(first.code, 0) << first.output;
      EXPECT_THAT(first.output,
                  AllOf(HasSubstr("are still at work; the last one joins"),
                        HasSubstr("pivotal search --resume " + run.string() + " joins them")));
      EXPECT_FALSE(fs::exists(run / "traces.h5"));
      EXPECT_EQ(PairsOf(run), alone_) << "shards are read, too";
    }
    const auto resumed = Pivotal("search --resume " + run.string() + how);
    EXPECT_EQ(resumed.code, 0) << resumed.output;
    EXPECT_THAT(resumed.output, ::testing::Not(HasSubstr("still at work")));
    EXPECT_TRUE(fs::exists(run / "traces.h5"));
    EXPECT_FALSE(fs::exists(run / "shards"));
    EXPECT_FALSE(fs::exists(work));
    EXPECT_EQ(PairsOf(run), alone_);
  }
}

TEST_F(SearchTeam, OthersJoinARunThatIsShared) {
  const std::string run = Path("joined");
  const std::string join = fmt::format(
      "while [ ! -e {0}/run.toml ]; do sleep 0.02; done; {1} search --resume {0} --shared", run,
      PIVOTAL_BINARY);
  const auto result =
      RunCommand("{ (" + join + ") & " PIVOTAL_BINARY " " + kSearch + run + " --shared; wait; }");
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(PairsOf(run), alone_);
  const auto again = Pivotal("search --resume " + run + " --shared");
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("problems found done  12"));
  EXPECT_EQ(PairsOf(run), alone_);
  EXPECT_THAT(Pivotal(kSearch + Path("b") + " --shared --budget-tokens 1000").output,
              HasSubstr("a shared run has no budget"));
}

// A file system that keeps a removed file under another name while it is open, as NFS does: a
// folder with such a file cannot be removed.
TEST_F(SearchTeam, NothingIsRemovedWhileItIsOpen) {
  const fs::path disk = Path("disk"), view = Path("view");
  fs::create_directory(disk);
  fs::create_directory(view);
  if (RunCommand("bindfs " + disk.string() + " " + view.string()).code != 0)
    GTEST_SKIP() << "needs Debian's bindfs and leave to mount";
  const auto hides =
      RunCommand("cd " + view.string() + "; exec 5>x; rm x; ls -A; exec 5>&-; ls -A").output;
  const std::string run = (view / "run").string();
  const auto result = RunCommand("{ " + Rank(1, 2, kSearch + run) + " & " +
                                 Rank(0, 2, kSearch + run) + "; wait $!; }");
  const auto left = RunCommand("ls -A " + run).output;
  const auto pairs = PairsOf(run);
  EXPECT_EQ(RunCommand("umount " + view.string()).code, 0);
  EXPECT_THAT(hides, HasSubstr(".fuse_hidden")) << "the test is about such a file system";
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(left, "lock\nrun.toml\ntraces.h5\nwork.lock\n");
  EXPECT_EQ(pairs, alone_);
}

// A second launch with the folder of the first: its first process refuses the folder, and the
// others do not take the run for theirs, although it has the same settings.
TEST_F(SearchTeam, ALaunchDoesNotJoinTheRunOfAnother) {
  const std::string run = Path("again");
  const auto rank = [&](int number, int step) {
    return fmt::format(
        "SLURM_JOB_ID=7 SLURM_STEP_ID={} SLURM_STEP_NUM_TASKS=2 SLURM_PROCID={} SLURM_LOCALID={} "
        "OMP_NUM_THREADS=1 {} {}",
        step, number, number, PIVOTAL_BINARY, kSearch + run);
  };
  const auto launch = [&](int step) {
    return RunCommand("{ " + rank(1, step) + " & " + rank(0, step) +
                      "; CODE=$?; wait $!; echo rank 1 ended with $?; exit $CODE; }");
  };
  const auto first = launch(0);
  EXPECT_EQ(first.code, 0) << first.output;
  EXPECT_THAT(first.output, HasSubstr("rank 1 ended with 0"));
  EXPECT_EQ(PairsOf(run), alone_);
  fs::remove(fs::path(run) / "traces.h5");  // there is something to do again
  const auto second = launch(1);
  EXPECT_EQ(second.code, 1) << second.output;
  EXPECT_THAT(second.output, AllOf(HasSubstr(run + ": exists and is not empty"),
                                   HasSubstr("rank 1 ended with 1")));
  EXPECT_FALSE(fs::exists(fs::path(run) / "traces.h5")) << "rank 1 has written into the run";
  EXPECT_FALSE(fs::exists(fs::path(run) / "shards"));
}

// A shard that somebody removes is missed at the end, as in a run of one process.
TEST_F(SearchTeam, StoredProblemsThatAreRemovedAreMissed) {
  const std::string run = Path("removed");
  const auto result = RunCommand(
      "{ (until [ -e " + run + "/shards/000001-1.h5 ]; do sleep 0.01; done; rm " + run +
      "/shards/000001-1.h5) & " PIVOTAL_BINARY " " + kSearch + run + " --shared; exit $?; }");
  testing::ExpectExplained(result, run, "of 12 finished problems: files in it were removed");
  const auto resumed = Pivotal("search --resume " + run + " --shared");
  EXPECT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_EQ(IdsOf(run).size(), 12u);
}

TEST_F(SearchTeam, ShardsAreMergedIntoWhatOneProcessFinds) {
  std::string runs;
  for (int shard = 1; shard <= 3; ++shard) {
    const std::string run = Path(fmt::format("shard{}", shard));
    const auto result = Pivotal(kSearch + run + fmt::format(" --shard {}/3", shard));
    ASSERT_EQ(result.code, 0) << result.output;
    EXPECT_EQ(IdsOf(run).size(), 4u);
    runs = run + " " + runs;  // the order of the runs does not matter
  }
  const auto merged = Pivotal("merge " + runs + "--output " + Path("merged"));
  EXPECT_EQ(merged.code, 0) << merged.output;
  EXPECT_THAT(merged.output, HasSubstr("12 problems of 3 runs"));
  EXPECT_EQ(PairsOf(Path("merged")), alone_);
  EXPECT_EQ(IdsOf(Path("merged")), IdsOf(Path("alone")));
  // Where a shard is missing, --resume searches its problems.
  const auto part =
      Pivotal("merge " + Path("shard1") + " " + Path("shard3") + " --output " + Path("part"));
  EXPECT_THAT(part.output, HasSubstr("4 problems are in none of the runs"));
  EXPECT_EQ(Pivotal("search --resume " + Path("part")).code, 0);
  EXPECT_EQ(PairsOf(Path("part")), alone_);
  EXPECT_THAT(
      Pivotal("merge " + Path("shard1") + " " + Path("part") + " --output " + Path("twice")).output,
      HasSubstr("shards of one file have no problem in common"));
  EXPECT_EQ(Pivotal(kSearch + Path("other") + " --shard 2/3 --samples 9").code, 0);
  const auto other =
      Pivotal("merge " + Path("shard1") + " " + Path("other") + " --output " + Path("no"));
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.output, AllOf(HasSubstr("search.samples is 9, but 8 in"),
                                  HasSubstr("same model and settings")));
  EXPECT_FALSE(fs::exists(Path("no")));
  EXPECT_THAT(Pivotal(kSearch + Path("bad") + " --shard 4/3").output,
              HasSubstr("write 1/8 to 8/8"));
}

}  // namespace
}  // namespace pivotal
