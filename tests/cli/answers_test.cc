// Apache-2.0. pivotal answers, and the groups of alternatives that pivotal show tells.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::JsonLines;
using ::testing::Not;
using testing::Pivotal;

class Answers : public testing::CliTest {
 protected:
  void Search(const std::string& more = "") const {
    const auto result = Pivotal(testing::SearchArguments(4, 16, 4) + Path("run") + more);
    ASSERT_EQ(result.code, 0) << result.output;
  }
  // Returns the lines that the command writes.
  std::vector<nlohmann::json> Lines(const std::string& more = "") const {
    fs::remove(Path("out"));
    const auto result = Pivotal("answers " + Path("run") + " --output " + Path("out") + more);
    EXPECT_EQ(result.code, 0) << result.output;
    return JsonLines(Path("out"));
  }
};

double SumOf(const nlohmann::json& shares) {
  double sum = 0;
  for (const auto& share : shares) sum += share["p"].get<double>();
  return sum;
}

TEST_F(Answers, AreDistributionsWhoseRightPartIsTheCurve) {
  Search();
  ASSERT_EQ(Pivotal("curve " + Path("run") + " --output " + Path("curve")).code, 0);
  std::map<std::string, nlohmann::json> curve;
  const auto key = [](const nlohmann::json& line, const char* position) {
    return line["id"].get<std::string>() + " " + line["response"].dump() + " " +
           line[position].dump();
  };
  for (const auto& line : JsonLines(Path("curve"))) curve[key(line, "end")] = line;
  int changes = 0, groups = 0;
  for (const auto& line : Lines()) {
    EXPECT_NEAR(SumOf(line["answers"]), 1, 1e-9);
    EXPECT_TRUE(line["answers"][0]["right"]);
    if (line["position"] == 0) {
      EXPECT_TRUE(line["token"].is_null());
      continue;
    }
    const auto& measured = curve.at(key(line, "position"));
    EXPECT_NEAR(line["answers"][0]["p"], measured["after"], 1e-9);
    if (line.contains("change")) {
      ++changes;
      // The variation of all answers is no less than the change of the right one, but for noise.
      EXPECT_GE(line["change"]["mean"].get<double>(),
                std::abs(measured["change"].get<double>()) - 0.25);
      EXPECT_LE(line["change"]["probability"], 1);
    }
    if (!line.contains("groups")) continue;
    ++groups;
    double mass = 0;
    for (const auto& group : line["groups"]) {
      mass += group["probability"].get<double>();
      EXPECT_NEAR(SumOf(group["answers"]), 1, 1e-9);
      EXPECT_LE(group["low"], group["p"]);
      EXPECT_GE(group["high"], group["p"]);
    }
    EXPECT_NEAR(mass, 1, 0.05);
    bool has_own = false;
    for (const auto& token : line["groups"][0]["tokens"])
      has_own = has_own || (token["token_id"] == line["token_id"] && token["same"] == 1);
    EXPECT_TRUE(has_own);
    EXPECT_LE(line["q"]["low"], line["q"]["p"]);
  }
  EXPECT_GT(changes, 8);
  EXPECT_GT(groups, 4);
}

TEST_F(Answers, OfAResponseEndInItsOwn) {
  Search();
  nlohmann::json last;
  const auto check = [](const nlohmann::json& line) {
    double most = 0;
    bool right = false;
    for (const auto& share : line["answers"]) {
      if (share["p"].get<double>() <= most) continue;
      most = share["p"];
      right = share["right"];
    }
    EXPECT_EQ(most, 1);
    EXPECT_EQ(right, line["success"].get<bool>());
  };
  for (const auto& line : Lines()) {
    if (line["position"] == 0 && !last.is_null()) check(last);
    last = line;
  }
  check(last);
}

TEST_F(Answers, AreTheSameEachTimeAndForEachProblem) {
  Search();
  const auto all = Lines();
  EXPECT_EQ(Lines(), all);
  const std::string id = all.back()["id"];
  const auto one = Lines(" --problem " + id);
  EXPECT_EQ(Lines(" --problem " + id + " --problem " + id), one) << "given twice";
  ASSERT_FALSE(one.empty());
  ASSERT_LT(one.size(), all.size());
  EXPECT_TRUE(std::equal(one.begin(), one.end(), all.end() - std::ssize(one)));
}

TEST_F(Answers, SayWhatIsWrong) {
  Search();
  const auto unknown = Pivotal("answers " + Path("run") + " --problem nope");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.output, HasSubstr(Path("run") + ": holds no problem nope"));
  EXPECT_FALSE(fs::exists(Path("run") + "/answers.jsonl"));
  EXPECT_EQ(Pivotal("answers " + Path("run") + " --gap 1").code, 2);
  const auto first = Pivotal("answers " + Path("run"));
  EXPECT_THAT(first.output, AllOf(HasSubstr("change points of 0.2 or more"),
                                  HasSubstr(Path("run") + "/answers.jsonl")));
  const auto second = Pivotal("answers " + Path("run"));
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.output, HasSubstr("answers.jsonl: exists already"));
  ASSERT_EQ(Pivotal("export " + Path("run") + " --format pts --output " + Path("events")).code, 0);
  ASSERT_EQ(Pivotal("import " + Path("events") + " --model " + testing::kTinyModel + " --output " +
                    Path("imported"))
                .code,
            0);
  const auto imported = Pivotal("answers " + Path("imported"));
  EXPECT_EQ(imported.code, 1);
  EXPECT_THAT(imported.output, HasSubstr("imported: holds no rollouts"));
  const auto full = testing::RunCommand("prlimit --fsize=1000 " PIVOTAL_BINARY " answers " +
                                        Path("run") + " --output " + Path("half"));
  EXPECT_EQ(full.code, 1);
  EXPECT_THAT(full.output, HasSubstr("pivotal: " + Path("half") + ": can't write: file too large"));
  EXPECT_FALSE(fs::exists(Path("half")));
  EXPECT_FALSE(fs::exists(Path("half.tmp")));
}

TEST_F(Answers, AreRightAndWrongWhereAProgramJudges) {
  temp_.Write("judge.py",
              "import json, sys\n"
              "for line in sys.stdin:\n"
              "    q = json.loads(line)\n"
              "    print(json.dumps({'success': q['response'].rstrip().endswith(q['answer'])}))\n"
              "    sys.stdout.flush()\n");
  Search(" --oracle 'command:python3 " + Path("judge.py") + "'");
  fs::remove(Path("judge.py"));  // the verdicts are stored: no program is started
  int groups = 0;
  for (const auto& line : Lines()) {
    ASSERT_EQ(line["answers"].size(), 2);
    EXPECT_EQ(line["answers"][0]["answer"], "right");
    EXPECT_EQ(line["answers"][1]["answer"], "wrong");
    groups += line.contains("groups") ? 1 : 0;
  }
  EXPECT_GT(groups, 0);
}

TEST_F(Answers, OfResponsesThatStateNoneAreNone) {
  const auto search = Pivotal("search --model " + testing::kTinyModel + " --problems " +
                              testing::kTiny + "/problems/train.jsonl --limit 2 --samples 4 " +
                              "--min-success 0 --max-new-tokens 4 --output " + Path("run"));
  ASSERT_EQ(search.code, 0) << search.output;
  const auto lines = Lines();
  ASSERT_FALSE(lines.empty());
  for (const auto& line : lines) {
    ASSERT_EQ(line["answers"].size(), 2);
    EXPECT_NE(line["answers"][0]["answer"], "");  // the reference
    // What no rollout has met is not known.
    EXPECT_LT(line["answers"][0]["p"], 0.02);
    EXPECT_EQ(line["answers"][1]["answer"], "");
    EXPECT_GT(line["answers"][1]["p"], 0.98);
    if (line.contains("change")) {
      EXPECT_LT(line["change"]["probability"], 0.5);
    }
  }
}

TEST_F(Answers, AreToldByShow) {
  Search();
  std::string id;
  for (const auto& line : Lines())
    if (line.contains("groups") && line["pivotal"] == true) id = line["id"];
  ASSERT_FALSE(id.empty());
  const auto shown = Pivotal("show " + Path("run") + " --problem " + id);
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.output, AllOf(HasSubstr("      same   '"), HasSubstr("      other  "),
                                  Not(HasSubstr("nan"))));
}

}  // namespace
}  // namespace pivotal
