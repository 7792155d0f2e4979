// Apache-2.0. What is read of a run while others write it.
#include "experiments/watch/stored_problems.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/traces/trace_store.h"
#include "tests/support/example_traces.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Ids(const StoredProblems& stored) {
  std::vector<std::string> ids;
  for (const StoredProblem& problem : stored.problems()) ids.push_back(problem.id);
  return ids;
}

QueryTrace Trace(const std::string& id, int32_t failed) {
  QueryTrace query = testing::ExampleTrace(id);
  query.failed_verdicts = failed;
  return query;
}

class StoredProblemsTest : public ::testing::Test {
 protected:
  testing::TempDir temp_;
  data::TraceStore store_{temp_.path()};
  StoredProblems stored_{temp_.path()};
};

TEST_F(StoredProblemsTest, FollowsASearch) {
  stored_.Update();
  EXPECT_THAT(stored_.problems(), IsEmpty());
  store_.Append({Trace("b", 3)});
  stored_.Update();
  EXPECT_THAT(Ids(stored_), ElementsAre("b"));
  EXPECT_FALSE(stored_.joined());
  const StoredProblem& first = stored_.problems().front();
  const QueryTrace truth = testing::ExampleTrace("b");
  EXPECT_EQ(first.responses, 2);
  EXPECT_EQ(first.pivotal, 2);
  EXPECT_EQ(first.rollouts, std::ssize(truth.rollouts));
  int64_t tokens = 0;
  for (const auto& rollout : truth.rollouts) tokens += std::ssize(rollout.tokens);
  EXPECT_EQ(first.tokens, tokens);
  EXPECT_TRUE(first.searched);
  EXPECT_FALSE(first.complete);
  // Another worker's shard; a problem again, of which the better verdicts count.
  data::TraceStore(temp_.path(), 2).Append({Trace("a", 0)});
  store_.Append({Trace("b", 1), Trace("c", 0)});
  stored_.Update();
  EXPECT_THAT(Ids(stored_), ElementsAre("b", "a", "c"));
  EXPECT_EQ(stored_.problems().front().failed_verdicts, 1);
  store_.Consolidate({"a", "b", "c"});
  stored_.Update();
  EXPECT_THAT(Ids(stored_), ElementsAre("a", "b", "c"));
  EXPECT_TRUE(stored_.joined());
  EXPECT_THAT(stored_.faults(), IsEmpty());
}

TEST_F(StoredProblemsTest, ADamagedFileIsAFaultAndTheOthersCount) {
  store_.Append({Trace("a", 0)});
  store_.Append({Trace("b", 0)});
  const auto shard = temp_.path() / "shards" / "000001.h5";
  std::filesystem::resize_file(shard, std::filesystem::file_size(shard) / 2);
  std::ofstream(temp_.path() / "shards" / "000003.h5.tmp") << "half";  // is being written
  stored_.Update();
  EXPECT_THAT(Ids(stored_), ElementsAre("b"));
  ASSERT_EQ(stored_.faults().size(), 1u);
  EXPECT_THAT(stored_.faults().front(), HasSubstr(shard.string()));
}

StoredProblem Cost(int64_t tokens, int64_t pairs) {
  StoredProblem problem;
  problem.tokens = tokens;
  problem.pairs = pairs;
  return problem;
}

TEST(PairCost, OfAllAndOfTheLast) {
  std::vector<StoredProblem> problems;
  EXPECT_EQ(PairCost(problems), 0);
  EXPECT_EQ(NextPairCost(problems), 0);
  problems = {Cost(1000, 2)};
  EXPECT_EQ(PairCost(problems), 500);
  EXPECT_EQ(NextPairCost(problems), 0) << "two pairs tell too little";
  problems = {Cost(100000, 10), Cost(100, 10), Cost(300, 0), Cost(600, 11)};
  EXPECT_DOUBLE_EQ(PairCost(problems), 101000.0 / 31);
  EXPECT_DOUBLE_EQ(NextPairCost(problems), 1000.0 / 21) << "of the last three problems";
  const auto curve = PairCurve(problems, 100);
  ASSERT_EQ(curve.size(), 4u);
  EXPECT_EQ(curve.back().tokens, 101000);
  EXPECT_EQ(curve.back().pairs, 31);
  EXPECT_DOUBLE_EQ(curve.back().cost, 1000.0 / 21);
  EXPECT_DOUBLE_EQ(curve.front().cost, 10000);
  EXPECT_EQ(PairCurve(problems, 2).size(), 2u);
  EXPECT_EQ(PairCurve(problems, 2).back().tokens, 101000);
}

}  // namespace
}  // namespace pivotal::experiments
