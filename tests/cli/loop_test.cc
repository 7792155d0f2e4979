// Apache-2.0. The whole loop on a small scale: search, pairs, curve, train, eval and generate.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "data/traces/trace_store.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::kTiny;
using testing::Pivotal;

const std::string kSearch = testing::SearchArguments(8, 16, 2);

void ExpectSuccess(const std::string& arguments, const std::string& text = "") {
  const auto result = Pivotal(arguments);
  ASSERT_EQ(result.code, 0) << arguments << "\n" << result.output;
  EXPECT_THAT(result.output, HasSubstr(text));
}

TEST(Loop, RunsStepByStep) {
  const testing::TempDir temp;
  const auto path = [&](const char* name) { return (temp.path() / name).string(); };
  ExpectSuccess(kSearch + path("run"), "pivotal tokens");
  ExpectSuccess("pairs " + path("run"), "pairs in");
  const std::string pairs = data::ReadFile(temp.path() / "run/pairs.jsonl");
  ASSERT_FALSE(pairs.empty());
  const auto first = nlohmann::json::parse(pairs.substr(0, pairs.find('\n')));
  for (const char* key :
       {"prompt", "chosen", "rejected", "prompt_ids", "chosen_ids", "rejected_ids"})
    EXPECT_TRUE(first.contains(key)) << key;
  ExpectSuccess("curve " + path("run") + " --granularity sentence", "sentences");
  const std::string curve = data::ReadFile(temp.path() / "run/curve-sentence.jsonl");
  const auto sentence = nlohmann::json::parse(curve.substr(0, curve.find('\n')));
  EXPECT_NEAR(sentence["after"].get<double>() - sentence["before"].get<double>(),
              sentence["change"].get<double>(), 0.2);
  EXPECT_LE(sentence["low"], sentence["change"]);
  EXPECT_GE(sentence["high"], sentence["change"]);
  ExpectSuccess(
      "pairs " + path("run") + " --source random --count 9 --output " + path("random.jsonl"),
      "9 pairs");
  ExpectSuccess("train --model " + testing::kTinyModel + " --data " + path("run/pairs.jsonl") +
                    " --output " + path("trained") +
                    " --learning-rate 1e-4 --epochs 2 --rpo-alpha 0.2",
                "reward margin");
  EXPECT_THAT(data::ReadFile(temp.path() / "trained/log.jsonl"), HasSubstr("rewards/accuracies"));
  ExpectSuccess("eval --model " + path("trained") + " --problems " + kTiny +
                    "/problems/heldout.jsonl --limit 5 --samples 2 --max-new-tokens 64 --output " +
                    path("scores.jsonl"),
                "temperature 0");
  EXPECT_THAT(data::ReadFile(temp.path() / "scores.jsonl"), HasSubstr("heldout-0001"));
  ExpectSuccess("generate --model " + path("trained") +
                    " --max-new-tokens 64 --temperature 0 "
                    "'Tom has 8 boxes with 47 coins in each box and finds 25 more coins. "
                    "How many coins does Tom have now?'",
                "####");
}

// Runs with the same seed have the same pairs, whatever the size of groups and batches, and even if
// a run was interrupted and resumed.
TEST(Loop, RunsAreReproducibleAndResumable) {
  const testing::TempDir temp;
  const auto path = [&](const char* name) { return (temp.path() / name).string(); };
  // SIGINT ends the run after its first group, which stays stored.
  const auto stopped =
      testing::PivotalUntil(temp.path() / "a/shards/000001.h5", "INT", kSearch + path("a"));
  ASSERT_EQ(stopped.code, 130) << stopped.output;
  EXPECT_THAT(stopped.output, HasSubstr("stopped"));
  ExpectSuccess("search --resume " + path("a"));
  ExpectSuccess(kSearch + path("b") + " --group 8 --batch 100");
  ExpectSuccess("pairs " + path("a"));
  ExpectSuccess("pairs " + path("b"));
  EXPECT_EQ(data::ReadFile(temp.path() / "a/pairs.jsonl"),
            data::ReadFile(temp.path() / "b/pairs.jsonl"));
  EXPECT_TRUE(fs::exists(temp.path() / "a/traces.h5"));
  EXPECT_EQ(data::TraceStore(temp.path() / "a").ReadAll().size(), 8u);
  ExpectSuccess("search --resume " + path("a"), "problems found done  8");
}

}  // namespace
}  // namespace pivotal
