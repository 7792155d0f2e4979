// Apache-2.0. The program with names on the Hub in place of paths.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kTiny;
using testing::kTinyModel;
using testing::SettingOf;

class Hub : public testing::CliTest {
 protected:
  // Puts a file into the cache, as the Hub's tools do: a blob and a link to it.
  void Add(const std::string& repository, const std::string& file, const fs::path& source) {
    const fs::path folder = fs::path(Path("cache")) / repository;
    fs::create_directories(folder / "blobs");
    fs::create_directories(folder / "refs");
    const fs::path blob = folder / "blobs" / std::to_string(++blobs_);
    fs::copy_file(source, blob);
    std::ofstream(folder / "refs" / "main") << "c0ffee";
    const fs::path link = folder / "snapshots" / "c0ffee" / file;
    fs::create_directories(link.parent_path());
    fs::create_symlink(fs::relative(blob, link.parent_path()), link);
  }
  void AddModel(const std::string& repository) {
    for (const auto& entry : fs::directory_iterator(kTinyModel))
      Add(repository, entry.path().filename().string(), entry.path());
  }
  testing::CommandResult Run(const std::string& arguments) const {
    return testing::RunCommand("cd " + Path("") + " && HF_HUB_CACHE=" + Path("cache") +
                               " OMP_NUM_THREADS=1 " PIVOTAL_BINARY " " + arguments);
  }
  int blobs_ = 0;
};

TEST_F(Hub, ASearchKeepsTheSnapshotThatItFound) {
  const std::string search =
      "search --limit 2 --samples 4 --confirm 4 --max-new-tokens 64 --model microsoft/tiny "
      "--problems me/sums --output ";
  auto result = Run(search + "run");
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.output, HasSubstr("download it: hf download microsoft/tiny\n"));
  AddModel("models--microsoft--tiny");
  result = Run(search + "run");
  EXPECT_THAT(result.output, HasSubstr("download it: hf download me/sums --repo-type dataset\n"));
  EXPECT_FALSE(fs::exists(Path("run")));
  Add("datasets--me--sums", "data/train.jsonl", kTiny + "/problems/train.jsonl");
  Add("datasets--me--sums", "data/test.jsonl", kTiny + "/problems/heldout.jsonl");
  result = Run(search + "run");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("me/sums: the problems are default/train, "));
  EXPECT_EQ(SettingOf(Path("run"), "folder"),
            "'" + Path("cache") + "/models--microsoft--tiny/snapshots/c0ffee'");
  EXPECT_EQ(SettingOf(Path("run"), "file"),
            "'" + Path("cache") + "/datasets--me--sums/snapshots/c0ffee/data/train.jsonl'");
  // The same search by paths finds the same.
  const auto by_path = testing::Pivotal(
      "search --limit 2 --samples 4 --confirm 4 --max-new-tokens 64 --model " + kTinyModel +
      " --problems " + kTiny + "/problems/train.jsonl --output " + Path("by_path"));
  ASSERT_EQ(by_path.code, 0) << by_path.output;
  const auto successes = [&](const char* run) {
    std::vector<int32_t> counts;
    for (const QueryTrace& trace : data::LoadRun(Path(run))) counts.push_back(trace.successes);
    return counts;
  };
  EXPECT_EQ(successes("run"), successes("by_path"));
  // The branch moves on; the run does not.
  std::ofstream(Path("cache/models--microsoft--tiny/refs/main")) << "decade";
  EXPECT_EQ(Run("search --resume run").code, 0);
  EXPECT_THAT(Run(search + "other").output, HasSubstr("there is no folder "));
  EXPECT_EQ(Run("search --help --model microsoft/none").code, 0) << "help needs no model";
}

TEST_F(Hub, AnEvaluationTakesTheTestSplit) {
  AddModel("models--microsoft--tiny");
  Add("datasets--me--sums", "train.jsonl", kTiny + "/problems/train.jsonl");
  Add("datasets--me--sums", "test.jsonl", kTiny + "/problems/heldout.jsonl");
  const auto result =
      Run("eval --limit 2 --samples 1 --max-new-tokens 64 --model microsoft/tiny@main --problems "
          "me/sums --output scores.jsonl");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("me/sums: the problems are default/test, "));
  EXPECT_EQ(testing::JsonLines(Path("scores.jsonl")).at(0)["id"], "heldout-0001");
  EXPECT_THAT(Run("info --model microsoft/tiny").output, HasSubstr("positions        256"));
  EXPECT_THAT(Run("info --model microsoft/large").output,
              HasSubstr("download it: hf download microsoft/large\n"));
}

TEST_F(Hub, WhatIsTrainedTellsTheNameOfItsBase) {
  AddModel("models--microsoft--tiny");
  temp_.Write("pairs.jsonl", testing::ProductPairs(4));
  const auto result =
      Run("train --model microsoft/tiny@c0ffee --data pairs.jsonl --lora-rank 2 --max-steps 1 "
          "--no-reference-cache --output tuned");
  ASSERT_EQ(result.code, 0) << result.output;
  const auto adapter = nlohmann::json::parse(data::ReadFile(Path("tuned/adapter_config.json")));
  EXPECT_EQ(adapter["base_model_name_or_path"], "microsoft/tiny");
  EXPECT_EQ(adapter["revision"], "c0ffee");
  EXPECT_THAT(data::ReadFile(Path("tuned/README.md")),
              AllOf(HasSubstr("base_model: microsoft/tiny\n"),
                    HasSubstr("pivotal train --model microsoft/tiny --data pairs.jsonl")));
}

TEST_F(Hub, RecipesMayNameTheHub) {
  temp_.Write("recipe.toml", R"(
[run.model]
folder = "microsoft/tiny"
[run.problems]
file = "me/sums"
limit = 2
[[eval]]
file = "me/sums"
limit = 2
[[arm]]
name = "a"
[[arm]]
name = "b"
)");
  EXPECT_THAT(Run("ablate recipe.toml --output out").output,
              HasSubstr("download it: hf download microsoft/tiny\n"));
  AddModel("models--microsoft--tiny");
  Add("datasets--me--sums", "train.jsonl", kTiny + "/problems/train.jsonl");
  Add("datasets--me--sums", "test.jsonl", kTiny + "/problems/heldout.jsonl");
  const auto result = Run("ablate recipe.toml --dry-run --probe 0 --output out");
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("a, seed 1: eval on sums"),
                                   HasSubstr("me/sums: the problems are default/test, ")));
}

}  // namespace
}  // namespace pivotal
