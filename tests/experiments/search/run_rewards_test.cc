// Apache-2.0. Tests step labels, advantages and critical tokens of a run whose p(success) is made
// up.
#include "experiments/search/run_rewards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/traces/trace_store.h"
#include "experiments/search/run_config.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Rewards : public ::testing::Test {
 protected:
  // Makes a run with one response of these p_0..p_n; each interval is p - 0.1 to p + 0.2. Without
  // `p` the response is EOS alone.
  void Make(const std::string& text, std::vector<double> p, const std::string& strategy) {
    const auto tokenizer = LoadTokenizer(testing::kTinyModel);
    ResponseTrace response;
    response.tokens =
        text.empty() ? std::vector<TokenId>{tokenizer->eos()} : tokenizer->Encode(text);
    response.logprobs.assign(response.tokens.size(), -0.5f);
    response.success = p.back() == 1;
    for (std::size_t k = 0; k < p.size(); ++k)
      response.estimates.push_back({static_cast<int32_t>(k), 0, 0, p[k], p[k] - 0.1, p[k] + 0.2});
    QueryTrace query;
    query.id = "a";
    query.prompt = tokenizer->Encode("What is 1?");
    query.searched = true;
    query.responses = {response};
    RolloutTrace rollout;
    rollout.tokens = {tokenizer->eos()};
    rollout.logprobs = {-0.5f};
    query.rollouts = {rollout};
    RunConfig config;
    config.model.folder = testing::kTinyModel;
    config.strategy = strategy;
    config.problems.file = testing::kTiny + "/problems/train.jsonl";
    fs::create_directory(run_);
    SaveRunConfig(config, {.weights_sha256 = "0"}, run_);
    data::TraceStore store(run_);
    store.Append({query});
    store.Consolidate();
  }
  json Written() const { return json::parse(data::ReadFile(out_)); }

  testing::TempDir temp_;
  fs::path run_ = temp_.path() / "run", out_ = temp_.path() / "out.jsonl";
};

// The tokens are the blank, "1", ".", a blank and "2".
TEST_F(Rewards, StepsAreLabelledByPAfterThem) {
  Make("1. 2", {0.5, 0.5, 0.25, 0.125, 0.0625, 0}, "anchored");
  const auto summary = ExportSteps(run_, out_);
  EXPECT_EQ(summary.responses, 1);
  EXPECT_EQ(summary.units, 2);
  EXPECT_EQ(summary.right, 1);
  const json line = Written();
  EXPECT_EQ(line["id"], "a");
  EXPECT_EQ(line["response"], 0);
  EXPECT_EQ(line["prompt"], "What is 1?");
  EXPECT_EQ(line["completions"], (json{" 1.", " 2"}));
  EXPECT_EQ(line["p"], (json{0.125, 0}));
  EXPECT_EQ(line["low"], (json{0.125 - 0.1, -0.1}));
  EXPECT_EQ(line["high"], (json{0.125 + 0.2, 0.2}));
  EXPECT_EQ(line["labels"], (json{true, false}));
  ExportSteps(run_, out_, 0.2);
  EXPECT_EQ(Written()["labels"], (json{false, false}));
  EXPECT_THAT([&] { ExportSteps(run_, out_, 0); },
              ThrowsMessage<Error>(HasSubstr("label threshold 0 is not above 0")));
}

TEST_F(Rewards, AdvantagesAreChangesOfP) {
  Make("1. 2", {0.5, 0.5, 0.25, 0.125, 0.75, 1}, "subdivide");
  EXPECT_EQ(ExportAdvantages(run_, out_).units, 5);
  const json line = Written();
  EXPECT_EQ(line["p"], (json{0.5, 0.5, 0.25, 0.125, 0.75, 1.0}));
  EXPECT_EQ(line["advantages"], (json{0.0, -0.25, -0.125, 0.625, 0.25}));
  EXPECT_EQ(line["completion_ids"].size(), 5);
  EXPECT_EQ(line["weight"], 1) << "there is one verdict";
  EXPECT_EQ(line["low"].size(), 6);
  EXPECT_EQ(line["high"][5], 1.2);
  EXPECT_EQ(line["prompt_ids"], LoadTokenizer(testing::kTinyModel)->Encode("What is 1?"));
}

// The rollout is EOS alone and wrong, so that there is no right response to set against it.
TEST_F(Rewards, CriticalTokensNeedBothVerdicts) {
  Make("1. 2", {0.5, 0.5, 0.25, 0.125, 0.0625, 0}, "anchored");
  const auto summary = ExportCritical(run_, out_);
  EXPECT_EQ(summary.responses, 0);
  EXPECT_EQ(summary.alone, 1);
  EXPECT_EQ(data::ReadFile(out_), "");
  fs::remove_all(run_);
  Make("1. 2", {0.5, 0.5, 0.25, 0.125, 0.75, 1}, "anchored");
  EXPECT_EQ(ExportCritical(run_, out_).alone, 1) << "no searched response is wrong";
}

// What is stated in place of the answers is null where the oracle finds none in the rollouts.
TEST_F(Rewards, AnswersAreTheirDistributions) {
  Make("1. 2", {0.5, 0.5, 0.25, 0.125, 0.0625, 0}, "anchored");
  ExportAdvantages(run_, out_);
  const json line = Written();
  ASSERT_EQ(line["answer_p"].size(), 6);
  for (const json& shares : line["answer_p"]) {
    ASSERT_EQ(shares.size(), line["answers"].size());
    double sum = 0;
    for (const double p : shares) sum += p;
    EXPECT_NEAR(sum, 1, 1e-9);
  }
  EXPECT_TRUE(line["answers"][0]["right"]);
  EXPECT_EQ(line["answer_p"][5][0], 0) << "the response itself is wrong";
}

TEST_F(Rewards, AResponseWithoutTextIsCounted) {
  Make("", {0.5, 0}, "anchored");
  const auto summary = ExportSteps(run_, out_);
  EXPECT_EQ(summary.responses, 0);
  EXPECT_EQ(summary.empty, 1);
  EXPECT_EQ(ExportAdvantages(run_, out_).units, 1);
}

TEST_F(Rewards, AdvantagesHaveTwoKinds) {
  Make("1. 2", {0.5, 0.5, 0.25, 0.125, 0.75, 1}, "none");
  EXPECT_EQ(ExportAdvantages(run_, out_, "outcome").responses, 0) << "one rollout, one verdict";
  EXPECT_THAT([&] { ExportAdvantages(run_, out_, "verdict"); },
              ThrowsMessage<Error>(HasSubstr("take curve or outcome")));
}

TEST_F(Rewards, ARunThatMeasuredNothingIsRefused) {
  Make("1. 2", {0.5, 0}, "anchored");
  EXPECT_THAT([&] { ExportSteps(run_, out_); },
              ThrowsMessage<Error>(HasSubstr("not known at every token of response 0 of problem "
                                             "a")));
  fs::remove_all(run_);
  Make("1. 2", {0.5, 0.5, 0.5, 0.5, 0.5, 0}, "none");
  EXPECT_THAT([&] { ExportAdvantages(run_, out_); },
              ThrowsMessage<Error>(HasSubstr("--strategy none has measured")));
  EXPECT_FALSE(fs::exists(out_));
}

}  // namespace
}  // namespace pivotal::experiments
