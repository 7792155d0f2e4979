// Apache-2.0. TensorBoard reads the event files of a training: the numbers of log.jsonl under the
// names that TRL's trainer gives them there, also after a kill. Skipped if PIVOTAL_PYTHON lacks
// tensorboard; `make test-parity` installs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/folders.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::Pivotal;

// Step and number, by tag.
using Series = std::map<std::string, std::vector<std::pair<int64_t, float>>>;

Series SeriesOf(const Json& read) {
  Series series;
  for (const auto& [tag, points] : read.items())
    for (const Json& point : points)
      series[tag].emplace_back(point[0].get<int64_t>(), point[1].get<float>());
  return series;
}

// Returns what the log holds, under the names that TensorBoardCallback of transformers gives them.
Series LogOf(const fs::path& run) {
  Series series;
  for (const Json& line : testing::JsonLines(run / "log.jsonl"))
    for (const auto& [name, value] : line.items()) {
      if (name == "step") continue;
      const std::string tag = name.starts_with("eval_") ? "eval/" + name.substr(5)
                              : name == "tokens"        ? "train/num_tokens"
                                                        : "train/" + name;
      series[tag].emplace_back(line["step"].get<int64_t>(), value.get<float>());
    }
  return series;
}

class TensorBoardParity : public testing::CliTest {
 protected:
  void SetUp() override {
    if (testing::Python("-c 'import tensorboard'").code != 0)
      GTEST_SKIP() << PIVOTAL_PYTHON << " lacks tensorboard; run make test-parity";
  }
  void ExpectTheLog() const {
    const auto read = testing::Python(PIVOTAL_SOURCE_DIR "/tests/cli/tensorboard_events.py " +
                                      Path("board") + " " + Path("series.json"));
    ASSERT_EQ(read.code, 0) << read.output;
    const Json series = Json::parse(data::ReadFile(Path("series.json")));
    const Series log = LogOf(Path("run"));
    EXPECT_TRUE(log.contains("train/rewards/chosen") && log.contains("eval/loss"));
    EXPECT_EQ(SeriesOf(series["event_accumulator"]), log);
    EXPECT_EQ(SeriesOf(series["multiplexer"]), log);
  }
};

TEST_F(TensorBoardParity, ReadsTheLogOfARunThatWasKilled) {
  temp_.Write("pairs.jsonl", testing::ProductPairs(13));
  const auto done = Pivotal("train --device cpu --model " + testing::kTinyModel + " --data " +
                            Path("pairs.jsonl") + " --eval-data " + Path("pairs.jsonl") +
                            " --batch-size 4 --epochs 5 --save-steps 2 --eval-steps 4 --output " +
                            Path("run") + " --tensorboard " + Path("board"));
  ASSERT_EQ(done.code, 0) << done.output;
  ExpectTheLog();
  // A kill comes after the last step, in the middle of a record; the checkpoint of step 12 is the
  // newest whole one. So TensorBoard has read steps that come once more.
  fs::remove(Path("run/model.safetensors"));
  fs::remove_all(Path("run/checkpoint-14"));
  const auto files = data::PathsIn(Path("board"));
  ASSERT_EQ(files.size(), 1u);
  fs::resize_file(files[0], fs::file_size(files[0]) - 7);
  const auto resumed = Pivotal("train --resume " + Path("run"));
  ASSERT_EQ(resumed.code, 0) << resumed.output;
  EXPECT_EQ(data::PathsIn(Path("board")).size(), 2u);
  ExpectTheLog();
}

}  // namespace
}  // namespace pivotal
