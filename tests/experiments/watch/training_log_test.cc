// Apache-2.0.
#include "experiments/watch/training_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "data/base/file_sink.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class FollowedLogTest : public ::testing::Test {
 protected:
  void Append(const std::string& text) { std::ofstream(file_, std::ios::app) << text; }
  testing::TempDir temp_;
  std::filesystem::path file_ = temp_.path() / "log.jsonl";
  FollowedLog log_{file_};
};

TEST_F(FollowedLogTest, ReadsWhatIsAppended) {
  log_.Update();
  EXPECT_THAT(log_.series(), IsEmpty());
  Append("{\"step\":1,\"loss\":0.5}\n{\"step\":2,\"lo");
  log_.Update();
  EXPECT_THAT(log_.series().at("loss"), ElementsAre(Pair(1, 0.5)));
  Append("ss\":0.25}\n{\"step\":2,\"eval_loss\":3}\n");
  log_.Update();
  EXPECT_THAT(log_.series().at("loss"), ElementsAre(Pair(1, 0.5), Pair(2, 0.25)));
  EXPECT_THAT(log_.series().at("eval_loss"), ElementsAre(Pair(2, 3.0)));
  EXPECT_EQ(log_.last_step(), 2);
  EXPECT_EQ(log_.Last("loss", -1), 0.25);
  EXPECT_EQ(log_.Last("margin", -1), -1);
  EXPECT_EQ(log_.bad_lines(), 0);
}

TEST_F(FollowedLogTest, BeginsAgainWhereTheFileWasCutBack) {
  Append("{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":2}\n{\"step\":3,\"loss\":3}\n");
  log_.Update();
  EXPECT_EQ(log_.last_step(), 3);
  data::WriteFile(file_,
                  "{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":9}\n{\"step\":3,\"loss\":8}\n");
  log_.Update();
  EXPECT_THAT(log_.series().at("loss"), ElementsAre(Pair(1, 1.0), Pair(2, 9.0), Pair(3, 8.0)));
  std::filesystem::resize_file(file_, 20);
  log_.Update();
  EXPECT_THAT(log_.series().at("loss"), ElementsAre(Pair(1, 1.0)));
}

TEST_F(FollowedLogTest, SkipsLinesThatCannotBeRead) {
  Append(
      "{\"step\":1,\"loss\":1}\nnonsense\n{\"loss\":1}\n[]\n\n{\"step\":2,\"loss\":null}\n"
      "{\"step\":3,\"loss\":2,\"name\":\"x\"}\n");
  log_.Update();
  EXPECT_EQ(log_.bad_lines(), 3);
  EXPECT_THAT(log_.series().at("loss"), ElementsAre(Pair(1, 1.0), Pair(3, 2.0)));
}

TEST(Thinned, KeepsTheEnds) {
  FollowedLog::Points points;
  for (int i = 1; i <= 1000; ++i) points.emplace_back(i, i);
  const auto thin = Thinned(points, 7);
  EXPECT_EQ(thin.size(), 7u);
  EXPECT_THAT(thin.front(), Pair(1, 1.0));
  EXPECT_THAT(thin.back(), Pair(1000, 1000.0));
  EXPECT_TRUE(std::is_sorted(thin.begin(), thin.end()));
  EXPECT_EQ(Thinned(thin, 7), thin);
}

}  // namespace
}  // namespace pivotal::experiments
