// Apache-2.0. pivotal export, import and show on a run of the tiny model, and reading its traces
// from Python.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "data/base/file_sink.h"
#include "tests/cli/cli_test.h"

namespace pivotal {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using testing::JsonLines;
using testing::Pivotal;

class Interchange : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    temp_ = new testing::TempDir;
    run_ = temp_->path() / "run";
    const auto search = Pivotal(testing::kTinySearch + run_.string());
    ASSERT_EQ(search.code, 0) << search.output;
  }
  static void TearDownTestSuite() { delete temp_; }

  static fs::path Export(const fs::path& run, const std::string& format, const std::string& name) {
    const fs::path output = temp_->path() / name;
    const auto made =
        Pivotal("export " + run.string() + " --format " + format + " --output " + output.string());
    EXPECT_EQ(made.code, 0) << made.output;
    return output;
  }

  static fs::path Curve(const std::string& granularity) {
    const fs::path output = temp_->path() / ("curve-" + granularity);
    const auto made = Pivotal("curve " + run_.string() + " --granularity " + granularity +
                              " --output " + output.string());
    EXPECT_EQ(made.code, 0) << made.output;
    return output;
  }

  static inline testing::TempDir* temp_ = nullptr;
  static inline fs::path run_;
};

// What is left out is what is least likely true, by probabilities that the run's tokens give.
TEST_F(Interchange, AShareOfFalseFindingsLeavesTokensOut) {
  const fs::path run = temp_->path() / "coarse";  // eight rollouts an estimate: much is false
  ASSERT_EQ(Pivotal(testing::kTinySearch + run.string() + " --strategy subdivide").code, 0);
  const auto all = JsonLines(Export(run, "pts", "all.jsonl"));
  const fs::path few_file = temp_->path() / "few.jsonl";
  const std::string share = " --max-false-share 0.04";
  const auto made =
      Pivotal("export " + run.string() + " --format pts --output " + few_file.string() + share);
  ASSERT_EQ(made.code, 0) << made.output;
  const auto few = JsonLines(few_file);
  EXPECT_GT(few.size(), 2u);
  EXPECT_LT(few.size(), all.size());
  std::set<std::string> ids;
  for (const json& event : all) ids.insert(event["event_id"]);
  double below = 0;
  for (const json& event : few) {
    EXPECT_TRUE(ids.contains(event["event_id"]));
    below += 1 - event["metadata"]["probability"].get<double>();
  }
  EXPECT_LE(below, 0.04 * static_cast<double>(few.size()));
  const auto shown = Pivotal("show " + run.string() + share);
  EXPECT_EQ(shown.code, 0);
  EXPECT_THAT(shown.output,
              HasSubstr(fmt::format("{} of {} pivotal tokens kept; {:.1f}% of them are expected "
                                    "to lie below the gap of 0.2",
                                    few.size(), all.size(), 100 * below / few.size())));
  // Imported events come without rollouts, by which to judge them.
  const fs::path imported = temp_->path() / "imported";
  ASSERT_EQ(Pivotal("import " + few_file.string() + " --model " + testing::kTinyModel +
                    " --output " + imported.string())
                .code,
            0);
  const auto right = Pivotal("export " + imported.string() + " --format sft");
  EXPECT_NE(right.code, 0);
  EXPECT_THAT(right.output, HasSubstr("has no rollouts with verdicts"));
  const auto refused = Pivotal("show " + imported.string() + share);
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.output, HasSubstr("come without rollouts"));
}

// A run is exported as events, these are imported as a run, and that is exported again.
TEST_F(Interchange, EventsComeBackAsTheyWent) {
  const fs::path events = Export(run_, "pts", "events.jsonl"), again = temp_->path() / "again";
  const auto imported = Pivotal("import " + events.string() + " --model " + testing::kTinyModel +
                                " --output " + again.string());
  ASSERT_EQ(imported.code, 0) << imported.output;
  auto first = JsonLines(events), second = JsonLines(Export(again, "pts", "events2.jsonl"));
  ASSERT_GT(first.size(), 3u);
  const auto sort = [](std::vector<json>& lines) {
    for (json& line : lines) line.erase("timestamp");
    std::ranges::sort(lines, {},
                      [](const json& line) { return line["event_id"].get<std::string>(); });
    lines.erase(std::unique(lines.begin(), lines.end()),
                lines.end());  // two responses may share a token
  };
  sort(first), sort(second);
  for (json& line : second)
    line["metadata"]["prob_threshold"] = first[0]["metadata"]["prob_threshold"];
  EXPECT_EQ(first, second);
  EXPECT_EQ(testing::PairsOf(again).empty(), testing::PairsOf(run_).empty());
  for (const json& line : first) {
    EXPECT_EQ(line["position"].get<std::size_t>(), line["metadata"]["prefix_ids"].size());
    EXPECT_NEAR(line["score"].get<double>(), std::abs(line["prob_delta"].get<double>()), 1e-12);
    EXPECT_THAT(line["context"].get<std::string>(), HasSubstr(line["query"].get<std::string>()));
  }
}

// A file of another program holds text alone. The tokenizer must return the run's ids.
TEST_F(Interchange, ContextsWithoutIdsAreEncoded) {
  std::string text;
  const auto events = JsonLines(Export(run_, "pts", "events3.jsonl"));
  for (json line : events) {
    line.erase("metadata");
    line.erase("token_id");
    text += line.dump() + "\n";
  }
  const fs::path plain = temp_->Write("plain.jsonl", text), run = temp_->path() / "plain";
  const auto imported = Pivotal("import " + plain.string() + " --model " + testing::kTinyModel +
                                " --output " + run.string());
  ASSERT_EQ(imported.code, 0) << imported.output;
  const auto traces = data::TraceStore(run).ReadAll();
  std::set<std::vector<TokenId>> sequences;
  for (const auto& query : traces) {
    for (const auto& response : query.responses) {
      std::vector<TokenId> sequence = query.prompt;
      sequence.insert(sequence.end(), response.tokens.begin(), response.tokens.end());
      sequences.insert(sequence);
    }
  }
  for (const json& event : events) {
    auto ids = event["metadata"]["prefix_ids"].get<std::vector<TokenId>>();
    ids.push_back(event["token_id"]);
    EXPECT_TRUE(std::ranges::any_of(sequences, [&](const auto& sequence) {
      return sequence.size() >= ids.size() && std::equal(ids.begin(), ids.end(), sequence.begin());
    })) << event["event_id"];
  }
}

TEST_F(Interchange, ImportNamesWhatIsWrong) {
  const auto import = [&](const std::string& text) {
    return Pivotal("import " + temp_->Write("bad.jsonl", text).string() + " --model " +
                   testing::kTinyModel + " --output " + (temp_->path() / "never").string());
  };
  const std::string event =
      R"({"query": "q", "pivot_context": "c", "pivot_token": "t", "pivot_token_id": 99999,
      "prob_before": 0, "prob_after": 1})";
  std::string line = event;
  std::erase(line, '\n');
  EXPECT_THAT(import(line).output, HasSubstr("event 1: token id 99999 is outside the vocabulary"));
  EXPECT_THAT(import("").output, HasSubstr("holds no pivotal_token events"));
  EXPECT_FALSE(fs::exists(temp_->path() / "never"));
}

TEST_F(Interchange, TrlHasThreeColumns) {
  const auto lines = JsonLines(Export(run_, "trl", "trl.jsonl"));
  for (const json& line : lines) {
    EXPECT_EQ(line.size(), 3u);
    for (const char* key : {"prompt", "chosen", "rejected"}) EXPECT_TRUE(line.at(key).is_string());
  }
}

// Steps end where sentences of the curve end, and tell the same p(success); so do tokens.
TEST_F(Interchange, StepsAndAdvantagesAreTheCurve) {
  const auto sentences = JsonLines(Curve("sentence")), tokens = JsonLines(Curve("token"));
  auto sentence = sentences.begin(), token = tokens.begin();
  const auto steps = JsonLines(Export(run_, "prm", "prm.jsonl"));
  const auto advantages = JsonLines(Export(run_, "advantages", "advantages.jsonl"));
  ASSERT_GT(steps.size(), 4u);
  ASSERT_EQ(steps.size(), advantages.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::size_t units = steps[i]["completions"].size();
    for (std::size_t s = 0; s < units; ++s, ++sentence) {
      EXPECT_EQ(steps[i]["completions"][s], (*sentence)["text"]);
      EXPECT_NEAR(steps[i]["p"][s], (*sentence)["after"], 1e-12);
      EXPECT_LE(steps[i]["low"][s], steps[i]["p"][s]);
      EXPECT_GE(steps[i]["high"][s], steps[i]["p"][s]);
      EXPECT_EQ(steps[i]["labels"][s], steps[i]["p"][s] >= 0.125);
    }
    EXPECT_EQ(steps[i]["labels"].back(), steps[i]["success"]);
    const auto& of = advantages[i];
    EXPECT_EQ(of["p"].size(), of["completion_ids"].size() + 1);
    EXPECT_EQ(of["low"].size(), of["p"].size());
    for (std::size_t k = 0; k < of["completion_ids"].size(); ++k, ++token)
      EXPECT_NEAR(of["advantages"][k],
                  (*token)["after"].get<double>() - (*token)["before"].get<double>(), 1e-12);
  }
  EXPECT_TRUE(sentence == sentences.end());
  EXPECT_TRUE(token == tokens.end());
}

// The answers of the curve and of the exports are those that pivotal answers tells.
TEST_F(Interchange, AnswersAreToldAlike) {
  const fs::path output = temp_->path() / "answers.jsonl";
  ASSERT_EQ(Pivotal("answers " + run_.string() + " --output " + output.string()).code, 0);
  const auto answers = JsonLines(output), tokens = JsonLines(Curve("token"));
  auto token = tokens.begin();
  auto answer = answers.begin();
  for (const json& of : JsonLines(Export(run_, "advantages", "advantages2.jsonl"))) {
    for (std::size_t k = 0; k < of["p"].size(); ++k, ++answer) {
      const json& told = (*answer)["answers"];
      ASSERT_EQ(of["answer_p"][k].size(), told.size());
      for (std::size_t a = 0; a < told.size(); ++a) {
        EXPECT_EQ(of["answers"][a]["answer"], told[a]["answer"]);
        EXPECT_EQ(of["answer_p"][k][a], told[a]["p"]);
      }
      if (k == 0) continue;
      EXPECT_EQ((*token++)["answers"], told);
    }
  }
  EXPECT_TRUE(answer == answers.end());
  EXPECT_TRUE(token == tokens.end());
  for (const json& of : JsonLines(Export(run_, "prm", "prm2.jsonl")))
    for (std::size_t s = 0; s < of["p"].size(); ++s)
      EXPECT_NEAR(of["answer_p"][s][0], of["p"][s], 1e-9);
}

// Weights are what the curve says is destroyed, and pivotal train takes them.
TEST_F(Interchange, CriticalTokensAreWeightedPairs) {
  const fs::path file = Export(run_, "critical", "critical.jsonl");
  std::map<std::pair<std::string, int>, std::vector<json>> curves;
  for (const json& line : JsonLines(Curve("token")))
    curves[{line["id"], line["response"]}].push_back(line);
  const auto lines = JsonLines(file);
  ASSERT_GT(lines.size(), 2u);
  double most = 0;
  for (const json& line : lines) {
    const std::string id = line["id"].get<std::string>();
    const auto& curve =
        curves.at({id.substr(0, id.find("/critical/")), line["rejected_response"].get<int>()});
    ASSERT_EQ(curve.size(), line["rejected_weights"].size());
    EXPECT_FALSE(curve[0]["success"].get<bool>());
    for (std::size_t k = 0; k < curve.size(); ++k) {
      const double before = curve[k]["before"], after = curve[k]["after"];
      const double lost = std::max(0.0, before - after) / std::max(before, 0.2);
      EXPECT_LE(line["rejected_weights"][k], lost + 1e-6) << "noise weighs less";
      EXPECT_NEAR(line["rejected_scores"][k], 1 - lost, 1e-6);
      EXPECT_LE(line["rejected_scores_low"][k], line["rejected_scores"][k]);
      EXPECT_GE(line["rejected_scores_high"][k], line["rejected_scores"][k]);
      most = std::max(most, line["rejected_weights"][k].get<double>());
    }
    EXPECT_EQ(line["chosen_tokens"].size(), line["chosen_ids"].size());
    EXPECT_EQ(line["chosen_scores"].size(),
              line["chosen_response"].is_null() ? 0 : line["chosen_ids"].size());
  }
  EXPECT_GT(most, 0.5);
  const auto trained = Pivotal("train --model " + testing::kTinyModel + " --data " + file.string() +
                               " --output " + (temp_->path() / "critical").string());
  EXPECT_EQ(trained.code, 0) << trained.output;
}

// Right responses come back as right when they are judged again, and `train` takes them.
TEST_F(Interchange, RightCompletionsAreRightAndTrain) {
  const fs::path file = Export(run_, "sft", "right.jsonl");
  const fs::path more = Export(run_, "sft --continuations", "more.jsonl");
  const fs::path few = Export(run_, "sft --per-problem 1", "few.jsonl");
  const auto lines = JsonLines(file);
  std::map<std::string, json> answers;
  for (const json& problem : JsonLines(testing::kTiny + "/problems/train.jsonl"))
    answers[problem["id"]] = problem["answer"];
  std::map<std::string, std::string> prompts;
  std::string responses;
  for (const json& line : lines) {
    const std::string id = line["id"], problem = id.substr(0, id.find('/'));
    prompts[problem] = line["prompt"];
    const json response = {{"response", line["completion"]}, {"answer", answers.at(problem)}};
    responses += response.dump() + "\n";
  }
  ASSERT_GT(prompts.size(), 1u);
  EXPECT_EQ(JsonLines(few).size(), prompts.size());
  const auto graded =
      Pivotal("grade --oracle hash --input " + temp_->Write("responses.jsonl", responses).string());
  EXPECT_THAT(graded.output, HasSubstr(fmt::format("{0} lines graded, {0} right", lines.size())));
  // A continuation has the beginning of a response in its prompt.
  const auto all = JsonLines(more);
  EXPECT_GT(all.size(), lines.size());
  for (const json& line : all) {
    const std::string id = line["id"];
    EXPECT_THAT(line["prompt"].get<std::string>(),
                ::testing::StartsWith(prompts[id.substr(0, id.find('/'))]));
  }
  const auto trained =
      Pivotal("train --objective sft --max-steps 2 --model " + testing::kTinyModel + " --data " +
              more.string() + " --output " + (temp_->path() / "sft").string());
  EXPECT_EQ(trained.code, 0) << trained.output;
}

TEST_F(Interchange, FlagsThatAFormatDoesNotHaveAreRefused) {
  const auto refused = [](const std::string& flags, const std::string& why) {
    const fs::path out = temp_->path() / "never.jsonl";
    const auto made = Pivotal("export " + run_.string() + " --output " + out.string() + flags);
    EXPECT_NE(made.code, 0);
    EXPECT_THAT(made.output, HasSubstr(why));
    EXPECT_FALSE(fs::exists(out));
  };
  refused(" --format prm --max-false-share 0.1",
          "pivotal: --max-false-share chooses findings, and --format prm writes everything");
  refused(" --format advantages --max-false-share 1", "--format advantages writes everything");
  refused(" --format critical --max-false-share 1", "--format critical writes everything");
  refused(" --format pts --label-threshold 0.5", "--label-threshold is for --format prm");
  refused(" --format prm --label-threshold 0", "0 is not above 0 and at most 1");
  refused(" --format prm --advantages curve", "--advantages is for --format advantages");
  refused(" --format advantages --advantages verdict", "verdict is none of");
  refused(" --format sft --max-false-share 0.1", "--format sft writes everything");
  refused(" --format trl --continuations", "--continuations chooses right completions");
  refused(" --format prm --per-problem 2", "--per-problem chooses right completions");
  refused(" --format sft --per-problem -1", "-1");
  refused(" --format xyz", "xyz is none of");
}

// The model has six layers of width 128. Each token has a line for each layer; pairs add means.
TEST_F(Interchange, SteeringHasEveryLayer) {
  const auto lines = JsonLines(Export(run_, "steering", "steering.jsonl"));
  const auto events = JsonLines(Export(run_, "pts", "events4.jsonl"));
  std::size_t hidden = 0;
  for (const json& line : lines) {
    const bool mean = line.contains("mean_difference");
    EXPECT_EQ(line[mean ? "mean_difference" : "hidden"].size(), 128u);
    EXPECT_LT(line["layer"].get<int>(), 6);
    hidden += !mean;
    if (mean) continue;
    // The answer is in the last sentence, and everything before is arithmetic.
    EXPECT_THAT(line["sentence_category"],
                ::testing::AnyOf(json("active_computation"), json("final_answer_emission")));
  }
  EXPECT_EQ(hidden, 6 * events.size());
}

// Runs the Python example of data/FORMATS.md, which prints problem, token and delta of each pivotal
// token.
TEST_F(Interchange, TheExampleForH5pyReadsTheTraces) {
  if (!testing::HasTool(testing::kH5py)) return;
  const std::string page = data::ReadFile(PIVOTAL_SOURCE_DIR "/data/FORMATS.md");
  const std::size_t block = page.find("```python\nimport h5py\n");
  ASSERT_NE(block, std::string::npos) << "the page has no example";
  const std::size_t begin = page.find("import", block), end = page.find("```", begin);
  const fs::path example = temp_->Write("example.py", page.substr(begin, end - begin));
  const auto ran = testing::RunCommand("cd " + temp_->path().string() + " && /usr/bin/python3 " +
                                       example.string());
  ASSERT_EQ(ran.code, 0) << ran.output;
  std::istringstream printed(ran.output);
  int64_t lines = 0;
  for (const auto& query : data::TraceStore(run_).ReadAll()) {
    for (const auto& response : query.responses) {
      for (const auto& pivotal : response.pivotal) {
        std::string id;
        TokenId token = -1;
        double delta = 0;
        ASSERT_TRUE(printed >> id >> token >> delta) << ran.output;
        EXPECT_EQ(id, query.id);
        EXPECT_EQ(token, response.tokens[pivotal.position - 1]);
        EXPECT_EQ(delta, pivotal.after - pivotal.before);
        ++lines;
      }
    }
  }
  EXPECT_GT(lines, 3);
  EXPECT_EQ(std::ranges::count(ran.output, '\n'), lines);
}

TEST_F(Interchange, ShowListsProblemsAndDrawsOne) {
  const auto list = Pivotal("show " + run_.string());
  ASSERT_EQ(list.code, 0) << list.output;
  EXPECT_EQ(std::ranges::count(list.output, '\n'), 7);
  const auto traces = data::TraceStore(run_).ReadAll();
  const auto searched = std::ranges::find_if(traces, [](const auto& t) {
    return !t.responses.empty() && !t.responses[0].pivotal.empty();
  });
  ASSERT_NE(searched, traces.end());
  const auto shown = Pivotal("show " + run_.string() + " --problem " + searched->id);
  ASSERT_EQ(shown.code, 0) << shown.output;
  EXPECT_THAT(shown.output, HasSubstr(searched->question));
  EXPECT_THAT(shown.output, HasSubstr("█"));  // p = 1 at the end of a right response
  std::istringstream lines(shown.output);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("    token ")) {
      EXPECT_THAT(line, HasSubstr("pair: "));  // "pair: ", or "no pair: " and the reason
    }
  const auto none = Pivotal("show " + run_.string() + " --problem nobody");
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.output, HasSubstr("holds no problem nobody"));
}

}  // namespace
}  // namespace pivotal
