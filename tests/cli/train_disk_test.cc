// Apache-2.0. A full disk does not lose what was trained; the weights move from the first step on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "data/base/file_sink.h"
#include "data/weights/safetensors.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Pivotal;
using testing::RunCommand;

class TrainDisk : public testing::CliTest {
 protected:
  TrainDisk() { temp_.Write("pairs.jsonl", testing::ProductPairs(13)); }

  std::string Train(const std::string& output, const std::string& more = "") const {
    return "train --device cpu --learning-rate 1e-4 --model " + testing::kTinyModel + " --data " +
           Path("pairs.jsonl") + " --batch-size 4 --output " + output + " " + more;
  }
  static std::string Sum(const fs::path& folder) {
    return data::Sha256OfFile(folder / "model.safetensors");
  }
};

// Returns the norm of the difference of two folders of float32 weights over that of the first, for
// the tensors whose names end in this way.
double Change(const fs::path& before, const fs::path& after, std::string_view end = "") {
  const data::SafetensorsReader a(before), b(after);
  double change = 0, norm = 0;
  for (const std::string& name : a.Names()) {
    if (!name.ends_with(end)) continue;
    const auto x = a.Get(name).bytes, y = b.Get(name).bytes;
    for (std::size_t i = 0; i < x.size(); i += 4) {
      float u = 0, v = 0;
      std::memcpy(&u, x.data() + i, 4);
      std::memcpy(&v, y.data() + i, 4);
      change += (static_cast<double>(v) - u) * (static_cast<double>(v) - u);
      norm += static_cast<double>(u) * u;
    }
  }
  return std::sqrt(change / norm);
}

TEST_F(TrainDisk, ATrainingOfOneStepMovesTheWeightsAndSaysHowFar) {
  const auto done = Pivotal(Train(Path("out"), "--max-steps 1"));
  ASSERT_EQ(done.code, 0) << done.output;
  const double change = Change(testing::kTinyModel, Path("out"));
  EXPECT_GT(change, 0);
  EXPECT_THAT(done.output,
              HasSubstr(fmt::format("the trained weights have moved by {:.3g}% of their norm",
                                    100 * change)));
  EXPECT_THAT(done.output, Not(HasSubstr("warm-up")));
}

// The change of an adapter is that of the weights it is merged into.
TEST_F(TrainDisk, AnAdapterMovesTheWeightsItIsMergedInto) {
  const auto adapter = Pivotal(Train(Path("adapter"), "--lora-rank 4"));
  ASSERT_EQ(adapter.code, 0) << adapter.output;
  const auto more = Pivotal(Train(Path("more"), "--adapter " + Path("adapter")));
  ASSERT_EQ(more.code, 0) << more.output;
  for (const std::string name : {"adapter", "more"})
    ASSERT_EQ(Pivotal("merge-adapter --model " + testing::kTinyModel + " --adapter " + Path(name) +
                      " --output " + Path("merged-" + name))
                  .code,
              0);
  const auto percent = [](const std::string& output) {
    const std::string before = "have moved by ";
    return std::stod(output.substr(output.find(before) + before.size()));
  };
  // Embeddings and norms have no adapter.
  const double first = Change(testing::kTinyModel, Path("merged-adapter"), "_proj.weight"),
               second = Change(Path("merged-adapter"), Path("merged-more"), "_proj.weight");
  EXPECT_NEAR(percent(adapter.output), 100 * first, first);
  EXPECT_NEAR(percent(more.output), 100 * second, second);
}

TEST_F(TrainDisk, AScheduleThatNeverLeavesItsWarmUpIsSaid) {
  const auto done = Pivotal(Train(Path("out"), "--warmup-steps 300"));
  ASSERT_EQ(done.code, 0) << done.output;
  EXPECT_THAT(done.output, AllOf(HasSubstr("the learning rate never leaves its warm-up: it rises "
                                           "for 300 steps, and training has 3"),
                                 HasSubstr("The last step has 1% of --learning-rate")));
}

// The result cannot be written, because something else has the name of one of its files; the
// checkpoint can.
TEST_F(TrainDisk, WhatIsTrainedIsKeptWhenTheResultCannotBeWritten) {
  ASSERT_EQ(Pivotal(Train(Path("whole"), "--epochs 10")).code, 0);
  for (const std::string kind : {"--epochs 10", "--epochs 10 --lora-rank 4 --merge"}) {
    const std::string run = Path("run" + std::to_string(kind.size()));
    const fs::path way = fs::path(run) / "tokenizer.json";
    const auto failed = RunCommand(
        "{ { until [ -e " + run + "/log.jsonl ]; do sleep 0.01; done; mkdir " + way.string() +
        "; } & " + PIVOTAL_BINARY + " " + Train(run, kind) + "; CODE=$?; wait; exit $CODE; }");
    EXPECT_EQ(failed.code, 1) << failed.output;
    EXPECT_THAT(failed.output, AllOf(HasSubstr(way.string() + ": can't write"),
                                     HasSubstr("all 30 steps are in " + run +
                                               "/checkpoint-30: once this is put "
                                               "right, pivotal train --resume " +
                                               run + " goes on from there")));
    fs::remove(way);
    const auto resumed = Pivotal("train --resume " + run);
    ASSERT_EQ(resumed.code, 0) << resumed.output;
    if (kind == "--epochs 10") {
      EXPECT_EQ(Sum(run), Sum(Path("whole")));
    } else {
      ASSERT_EQ(Pivotal(Train(Path("merged"), kind)).code, 0);
      EXPECT_EQ(Sum(run), Sum(Path("merged")));
    }
  }
}

// The output is on a small file system, which is mounted in a namespace, so one script does
// everything.
class SmallDisk : public TrainDisk {
 protected:
  SmallDisk() { fs::create_directory(disk_); }
  // Runs `script` with a disk of so many bytes at disk_.
  testing::CommandResult OnDisk(int64_t bytes, const std::string& script) const {
    return RunCommand(
        "unshare --map-root-user --mount sh -c 'mount -t tmpfs -o size=" + std::to_string(bytes) +
        " none " + disk_.string() + " || exit 99; " + script + "'");
  }
  const fs::path disk_ = temp_.path() / "disk";
  const std::string run_ = (disk_ / "run").string();
  const int64_t weights_ =
      static_cast<int64_t>(fs::file_size(testing::kTinyModel + "/model.safetensors"));
};

TEST_F(SmallDisk, TooLittleRoomIsSaidBeforeTheFirstStep) {
  const auto result = OnDisk(weights_, PIVOTAL_BINARY " " + Train(run_) + "; CODE=$?; ls -A " +
                                           disk_.string() + "; exit $CODE");
  if (result.code == 99) GTEST_SKIP() << "no tmpfs can be mounted in a user namespace here";
  EXPECT_EQ(result.code, 1) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("pivotal: " + run_ + ": training writes"),
                                   HasSubstr("but the disk has"), HasSubstr("make room")));
  EXPECT_THAT(result.output, ::testing::EndsWith("make room, or take another disk\n"))
      << "nothing is written";
  // Checkpoints need room too.
  const auto saving = OnDisk(4 * weights_, PIVOTAL_BINARY " " + Train(run_, "--save-steps 1"));
  EXPECT_THAT(saving.output, AllOf(HasSubstr("2 checkpoints of"), HasSubstr("--save-steps 0")));
}

// Another program fills the disk during training. The room of the result is kept, so it is written.
TEST_F(SmallDisk, TheRoomOfTheResultIsKept) {
  const auto result = OnDisk(
      2 * weights_, "{ until [ -e " + run_ +
                        "/log.jsonl ]; do sleep 0.01; done; sleep 0.1; "
                        "head -c 1G /dev/zero > " +
                        disk_.string() + "/filler 2>/dev/null; } & " + PIVOTAL_BINARY + " " +
                        Train(run_, "--epochs 12") + "; CODE=$?; wait; echo $(wc -l < " + run_ +
                        "/log.jsonl) lines; ls -l " + disk_.string() + " " + run_ + "; exit $CODE");
  if (result.code == 99) GTEST_SKIP() << "no tmpfs can be mounted in a user namespace here";
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("log.jsonl: cannot be written: no space left on device"),
                    HasSubstr("36 lines"), HasSubstr("model.safetensors")));
}

// The disk becomes full at a checkpoint. The room of the result goes to the next try, or the
// checkpoint before stays; either way the message says which one is there and how to go on.
TEST_F(SmallDisk, ACheckpointThatDoesNotFitLosesNothing) {
  const std::string fill = "{ until [ -e " + run_ +
                           "/checkpoint-3 ]; do sleep 0.01; done; "
                           "head -c 1G /dev/zero > " +
                           disk_.string() + "/filler 2>/dev/null; } & ";
  const auto result =
      OnDisk(32 * weights_, fill + PIVOTAL_BINARY " " + Train(run_, "--epochs 12 --save-steps 3") +
                                "; echo code $?; wait; rm " + disk_.string() +
                                "/filler; " PIVOTAL_BINARY " train --resume " + run_ +
                                " && sha256sum " + run_ + "/model.safetensors");
  if (result.code == 99) GTEST_SKIP() << "no tmpfs can be mounted in a user namespace here";
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output,
              AllOf(HasSubstr("code 1"), HasSubstr("no space left on device"),
                    HasSubstr("pivotal train --resume " + run_ + " goes on from there")));
  ASSERT_EQ(Pivotal(Train(Path("whole"), "--epochs 12")).code, 0);
  EXPECT_THAT(result.output, HasSubstr(Sum(Path("whole"))));
}

}  // namespace
}  // namespace pivotal
