// Apache-2.0. Flags of training that save memory, and what the program says of memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::Pivotal;

class TrainMemory : public testing::CliTest {
 protected:
  TrainMemory() {
    std::string pairs;
    for (int i = 0; i < 8; ++i) pairs += testing::PairLine(i, " " + std::to_string(i + 1), " none");
    temp_.Write("pairs.jsonl", pairs);
  }
  std::string Train(const std::string& flags) const {
    return "train --device cpu --model " + testing::kTinyModel + " --data " +
           (temp_.path() / "pairs.jsonl").string() + " --output " + output().string() +
           " --batch-size 4 " + flags;
  }
  fs::path output() const { return temp_.path() / "out"; }
};

TEST_F(TrainMemory, IsPlannedAndMeasured) {
  const auto result = Pivotal(Train("--fit"));
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("--fit: the settings fit as they are"));
  EXPECT_THAT(result.output, ContainsRegex("peak memory [0-9.]+ .iB, planned [0-9.]+ .iB"));
  EXPECT_THAT(data::ReadFile(output() / "train.toml"), HasSubstr("optimizer = 'adamw'"));
}

TEST_F(TrainMemory, RefusesWhatDoesNotGoTogether) {
  const auto refusal = [&](const std::string& flags) {
    const auto result = Pivotal(Train(flags));
    EXPECT_NE(result.code, 0);
    EXPECT_FALSE(fs::exists(output())) << flags;
    return result.output;
  };
  EXPECT_THAT(refusal("--fused-backward"), HasSubstr("--clip-by tensor or previous"));
  EXPECT_THAT(refusal("--fused-backward --clip-by tensor --gradient-accumulation 2"),
              HasSubstr("--gradient-accumulation 1"));
  EXPECT_THAT(refusal("--fit --ignore-memory-plan"), HasSubstr("excludes"));
  EXPECT_THAT(refusal("--optimizer adam"), HasSubstr("adamw8bit"));
}

}  // namespace
}  // namespace pivotal
