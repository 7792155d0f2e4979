// Apache-2.0. pivotal export --format anchors: the sentences of a run as thought anchors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data/base/text.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::JsonLines;
using testing::Pivotal;

class Anchors : public testing::CliTest {
 protected:
  void SetUp() override {
    const auto search = Pivotal(testing::SearchArguments(6, 16, 4) + Path("run"));
    ASSERT_EQ(search.code, 0) << search.output;
  }
  testing::CommandResult Export(const std::string& more = "") const {
    fs::remove(Path("out"));
    return Pivotal("export " + Path("run") + " --format anchors --output " + Path("out") + more);
  }
  std::vector<json> Events(const std::string& more = "") const {
    const auto result = Export(more);
    EXPECT_EQ(result.code, 0) << result.output;
    return JsonLines(Path("out"));
  }
  std::string Judge(const std::string& answer) {
    const std::string path = Path("judge.py");
    temp_.Write("judge.py", "import json, sys\nfor line in sys.stdin:\n    q = json.loads(line)\n" +
                                ("    print(json.dumps(" + answer + "), flush=True)\n"));
    return " --judge 'python3 " + path + "'";
  }
};

TEST_F(Anchors, AreTheSentencesOfTheCurve) {
  const auto events = Events();
  ASSERT_EQ(
      Pivotal("curve " + Path("run") + " --granularity sentence --output " + Path("curve")).code,
      0);
  const auto curve = JsonLines(Path("curve"));
  ASSERT_EQ(events.size(), curve.size());
  int measured = 0, anchors = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const json &event = events[i], &meta = event["metadata"];
    EXPECT_EQ(event["event_type"], "thought_anchor");
    EXPECT_EQ(event["dataset_item_id"], curve[i]["id"]);
    EXPECT_EQ(meta["response"], curve[i]["response"]);
    EXPECT_EQ(event["label"], data::Trim(curve[i]["text"].get<std::string>()));
    for (const char* key : {"before", "after", "change", "low", "high"})
      EXPECT_EQ(meta["resampling"][key], curve[i][key]);
    EXPECT_EQ(event["prob_after"], curve[i]["after"]);
    EXPECT_EQ(event["score"], std::abs(event["prob_delta"].get<double>()));
    // The older keys say the same.
    EXPECT_EQ(event["sentence"], event["label"]);
    EXPECT_EQ(event["sentence_id"], event["position"]);
    EXPECT_EQ(event["prefix_context"], event["context"]);
    EXPECT_EQ(event["prob_with_sentence"], event["prob_after"]);
    EXPECT_EQ(event["prob_without_sentence"], event["prob_before"]);
    EXPECT_EQ(event["importance_score"], event["score"]);
    const json& counter = meta["counterfactual"];
    EXPECT_EQ(event["intervention_type"],
              counter.is_null() ? "remove_sentence" : "replace_sentence");
    anchors += event["score"].get<double>() >= 0.2 ? 1 : 0;
    if (counter.is_null()) continue;
    ++measured;
    EXPECT_NEAR(event["prob_delta"],
                event["prob_after"].get<double>() - event["prob_before"].get<double>(), 1e-9);
    EXPECT_GE(counter["without"]["rollouts"], 8);
    EXPECT_LE(counter["low"], counter["change"]);
    EXPECT_GE(counter["high"], counter["change"]);
  }
  EXPECT_GT(measured, 4);
  EXPECT_GT(anchors, 4);
}

// The tiny model's sentences are a product, what is done with it, and the answer: each depends on
// the number before it.
TEST_F(Anchors, DependOnTheSentencesWhoseNumbersTheyTake) {
  std::map<std::string, json> by_id;
  const auto events = Events();
  for (const json& event : events) by_id[event["event_id"]] = event;
  EXPECT_EQ(by_id.size(), events.size());
  int first = 0, last = 0;
  for (const json& event : events) {
    const bool is_answer = event["sentence_category"] == "final_answer_emission";
    EXPECT_EQ(is_answer, event["label"].get<std::string>().starts_with("####"));
    EXPECT_EQ(event["category"], is_answer ? "final_answer" : "computation");
    ASSERT_EQ(event["follows_event_ids"].size(), event["causal_dependencies"].size());
    for (std::size_t i = 0; i < event["follows_event_ids"].size(); ++i) {
      const json& on = by_id.at(event["follows_event_ids"][i]);
      EXPECT_EQ(on["position"], event["causal_dependencies"][i]);
      EXPECT_EQ(on["dataset_item_id"], event["dataset_item_id"]);
      EXPECT_EQ(on["metadata"]["response"], event["metadata"]["response"]);
      EXPECT_THAT(on["precedes_event_ids"], ::testing::Contains(event["event_id"]));
      EXPECT_LT(on["position"], event["position"]);
    }
    for (const json& on : event["metadata"]["dependencies"]) {
      const bool is_listed = std::ranges::find(event["causal_dependencies"], on["sentence_id"]) !=
                             event["causal_dependencies"].end();
      EXPECT_EQ(is_listed, on["low"] > 0 && on["change"] >= 0.2);
    }
    if (!is_answer) continue;
    ++last;
    first += event["causal_dependencies"].empty() ? 0 : 1;
  }
  EXPECT_GT(last, 4);
  EXPECT_GE(first, last * 3 / 4);
}

TEST_F(Anchors, AProgramMayNameTheCategories) {
  const auto by_rule = Events();
  const auto judged =
      Events(Judge("{'category': 'fact_retrieval' if q['response'] == '' and q['sentence'] else "
                   "'self_checking'}"));
  ASSERT_EQ(judged.size(), by_rule.size());
  for (const json& event : judged) {
    const bool is_first = event["position"] == 0;
    EXPECT_EQ(event["sentence_category"], is_first ? "fact_retrieval" : "self_checking");
    EXPECT_EQ(event["category"], is_first ? "fact_retrieval" : "verification");
  }
}

TEST_F(Anchors, SayWhatIsWrong) {
  const auto unread = Export(Judge("{'category': 'planning'}"));
  EXPECT_EQ(unread.code, 1);
  EXPECT_THAT(unread.output, AllOf(HasSubstr("judge command"), HasSubstr("fact_retrieval")));
  EXPECT_FALSE(fs::exists(Path("out")));
  const auto other = Pivotal("export " + Path("run") + " --format prm --judge x");
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.output, HasSubstr("--judge is for --format anchors"));
  ASSERT_EQ(Pivotal("export " + Path("run") + " --format pts --output " + Path("events")).code, 0);
  ASSERT_EQ(Pivotal("import " + Path("events") + " --model " + testing::kTinyModel + " --output " +
                    Path("imported"))
                .code,
            0);
  const auto imported =
      Pivotal("export " + Path("imported") + " --format anchors --output " + Path("out"));
  EXPECT_EQ(imported.code, 1);
  EXPECT_THAT(imported.output, HasSubstr("imported: holds no rollouts to compare sentences by"));
  const auto full = testing::RunCommand("prlimit --fsize=1000 " PIVOTAL_BINARY " export " +
                                        Path("run") + " --format anchors --output " + Path("half"));
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.output, HasSubstr("pivotal: " + Path("half") + ": can't write: file too large"));
  EXPECT_FALSE(fs::exists(Path("half")));
  // Token events beside anchors are read, anchors are skipped.
  Events();
  const auto count = JsonLines(Path("out")).size();
  temp_.Write("both", data::ReadFile(Path("events")) + data::ReadFile(Path("out")));
  const auto both = Pivotal("import " + Path("both") + " --model " + testing::kTinyModel +
                            " --output " + Path("again"));
  EXPECT_EQ(both.code, 0) << both.output;
  EXPECT_THAT(both.output,
              HasSubstr(std::to_string(count) + " events of other types were skipped"));
}

}  // namespace
}  // namespace pivotal
