// Apache-2.0. Tests the page of a run in Chromium, which report_page.py drives.
#include "experiments/report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <nlohmann/json.hpp>

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
using ::testing::Not;

// Returns a response of `n` tokens of the tiny model's tokenizer. Token 3 is pivotal and gives a
// pair. Token 5 is pivotal too, but fresh rollouts did not tell its sides apart.
ResponseTrace Response(int32_t n, bool success) {
  ResponseTrace response;
  response.success = success;
  for (int32_t k = 1; k <= n; ++k) {
    response.tokens.push_back(40 + k);
    response.logprobs.push_back(k == 3 ? -0.5f : -0.125f);
  }
  for (int32_t k = 0; k <= n; ++k) {
    const double p = k < 3 ? 0.5 : success ? 0.9 : 0.1;
    response.estimates.push_back({k, 4, 2, p, p - 0.1, p + 0.1});
  }
  PivotalToken token;
  token.position = 3;
  token.before = 0.5;
  token.after = success ? 0.9 : 0.1;
  token.chosen = success ? 43 : 60;
  token.rejected = success ? 60 : 43;
  token.chosen_samples = token.rejected_samples = 32;
  token.chosen_successes = 29;
  token.rejected_successes = 3;
  token.low = success ? 0.2 : -0.6;
  token.high = success ? 0.6 : -0.2;
  token.probability = 0.98;
  response.pivotal = {token, token};
  response.pivotal[1].position = 5;
  response.pivotal[1].chosen_successes = 7;
  response.alternatives = {{3, 60, -1.5f, 8, success ? 1 : 7, 0.1, 0.9}};
  return response;
}

class ReportTest : public ::testing::Test {
 protected:
  void MakeRun(int32_t problems, int32_t tokens) const {
    Store(Traces(problems, tokens), "numeric", run_);
  }

  static std::vector<QueryTrace> Traces(int32_t problems, int32_t tokens) {
    std::vector<QueryTrace> traces;
    for (int32_t i = 0; i < problems; ++i) {
      QueryTrace query;
      query.id = fmt::format("p-{:04}", i);
      query.question = i == 1 ? "</script><script>alert('\"')</script> <!-- \u202e <b>"
                              : fmt::format("What is {}?", i);
      query.answer = std::to_string(i);
      query.prompt = {1, 5, 40 + i % 500};
      query.samples = 32;
      query.searched = i % 4 != 3;
      query.successes = query.searched ? 16 : 32;
      query.seconds = 0.5;
      if (query.searched) query.responses = {Response(tokens, true), Response(tokens + 2, false)};
      traces.push_back(std::move(query));
    }
    return traces;
  }

  // Makes the run beside that of MakeRun(8, 6): it lacks the first problem and has another one. Its
  // problems come in another order and under other ids, and are right in 24 of 32 samples.
  void MakeBeside(const fs::path& model = testing::kTinyModel) const {
    auto traces = Traces(8, 5);
    traces[0].prompt = {1, 6};
    for (QueryTrace& query : traces) {
      query.id = "line " + query.id.substr(2);
      if (query.searched) query.successes = 24;
    }
    std::ranges::reverse(traces);
    Store(traces, "numeric", beside_, model);
  }
  ReportSummary WriteBoth() const {
    return WriteReport({.run = run_, .beside = beside_, .output = page_});
  }

  // Returns SUMMARY of the page.
  json Summary() const {
    const std::string page = data::ReadFile(page_), mark = "id=\"summary\">";
    const auto begin = page.find(mark) + mark.size();
    return json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  }

  // Makes a run of one problem and one response, "1+1" in four tokens, the first of which is a
  // blank. The second may be one of three:
  //
  //   1      pi 0.5, right
  //   7      pi 0.25, right in 8 of 8 rollouts: it means the same
  //   </...  pi 0.25, wrong in 8 of 8 rollouts, whose answer is markup
  void MakeFork(const std::string& oracle) const {
    const auto tokenizer = LoadTokenizer(testing::kTinyModel);
    QueryTrace query;
    query.id = "fork";
    query.question = "What is 1+1?";
    query.answer = "1+1";
    query.prompt = {1, 5};
    query.samples = 16;
    query.successes = 12;
    query.searched = true;
    ResponseTrace response = Response(static_cast<int32_t>(tokenizer->Encode("1+1").size()), true);
    response.tokens = tokenizer->Encode("1+1");
    response.logprobs.assign(response.tokens.size(), 0.0f);
    response.logprobs[1] = std::log(0.5f);
    response.pivotal.resize(1);
    response.pivotal[0].position = 2;
    response.alternatives.clear();
    const auto wrong = tokenizer->Encode(kMarkup), same = tokenizer->Encode("7");
    for (int32_t i = 0; i < 16; ++i) {
      RolloutTrace rollout;
      rollout.kind = RolloutKind::kLeaving;
      rollout.response = 0;
      rollout.position = 1;
      rollout.success = i % 2 == 0;
      rollout.tokens = rollout.success ? same : wrong;
      rollout.tokens.erase(rollout.tokens.begin());  // the blank
      rollout.logprobs.assign(rollout.tokens.size(), 0.0f);
      rollout.logprobs[0] = std::log(0.25f);
      query.rollouts.push_back(std::move(rollout));
    }
    query.responses.push_back(std::move(response));
    Store({query}, oracle, run_);
  }

  static void Store(const std::vector<QueryTrace>& traces, const std::string& oracle,
                    const fs::path& run, const fs::path& model = testing::kTinyModel) {
    fs::create_directory(run);
    RunConfig config;
    config.model.folder = model;
    config.problems.file = testing::kTiny + "/problems/train.jsonl";
    config.problems.oracle = oracle;
    SaveRunConfig(config, {.weights_sha256 = "0"}, run);
    data::TraceStore store(run);
    store.Append(traces);
    store.Consolidate();
  }

  // Fails with the checks of report_page.py that the page does not pass.
  void Look(const json& expected) const { Look(temp_.Write("expected.json", expected.dump()), ""); }
  void Look(const fs::path& expected, const std::string& flags) const {
    const auto looked =
        testing::RunCommand(fmt::format("python3 {}/report_page.py chromium {} {} {}", kScripts,
                                        page_.string(), expected.string(), flags));
    EXPECT_EQ(looked.code, 0) << looked.output;
    RecordProperty("page", looked.output);
  }

  // Returns what the page shows of token 2 of MakeFork()'s response. Null answers: it shows none.
  static json Fork(const json& before, const json& after) {
    return {{"load_seconds", 20},
            {"rows", 1},
            {"problem",
             {{"id", "fork"},
              {"response", 1},
              {"length", 4},
              {"tokens",
               {{{"k", 2},
                 {"probability", 0.5},
                 {"before", 0.5},
                 {"after", 0.5},
                 {"alternatives", 0},
                 {"no_pair", nullptr},
                 {"found", "0.500 \u2192 0.900"},
                 {"groups", 2},
                 {"q", "0.500"},
                 {"q_other", "0.000"},
                 {"answers_before", before},
                 {"answers_after", after}}}}}}};
  }

  static constexpr const char* kMarkup = "</script><img src=x onerror=hostile=1>";
  testing::TempDir temp_;
  fs::path run_ = temp_.path() / "run", page_ = temp_.path() / "report.html";
  fs::path beside_ = temp_.path() / "after";
  static constexpr const char* kScripts = PIVOTAL_SOURCE_DIR "/tests/experiments/report";
};

TEST_F(ReportTest, IsOnePageWithoutTheNetwork) {
  MakeRun(8, 6);
  const auto summary = WriteReport({.run = run_, .output = page_});
  EXPECT_EQ(summary.problems, 8);
  EXPECT_EQ(summary.pivotal, 24);
  const std::string page = data::ReadFile(page_);
  EXPECT_EQ(summary.bytes, std::ssize(page));
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, Not(HasSubstr("src=\"http")));
  EXPECT_THAT(page, Not(HasSubstr("@SUMMARY@")));
  EXPECT_THAT(page, HasSubstr("id=\"block-0\""));
  EXPECT_THAT(page, HasSubstr("[\"pairs\",12,\"50% of the pivotal tokens\"]"));
  WriteReport({.run = run_, .output = temp_.path() / "again.html"});
  EXPECT_EQ(data::ReadFile(temp_.path() / "again.html"), page);
}

TEST_F(ReportTest, ChromiumShowsTheRun) {
  if (!testing::HasTool(testing::kChromium)) return;
  MakeRun(8, 6);
  temp_.Write("log.jsonl", "{\"step\": 1, \"loss\": 0.7}\n{\"step\": 2, \"loss\": 0.5}\n");
  WriteReport({.run = run_, .trainings = {temp_.path()}, .output = page_});
  const auto token = [](int k, double logprob, double before, double after, int alternatives,
                        const char* no_pair = nullptr, const char* found = nullptr) {
    return json{{"k", k},
                {"probability", std::exp(logprob)},
                {"before", before},
                {"after", after},
                {"alternatives", alternatives},
                {"no_pair", no_pair != nullptr ? json(no_pair) : json()},
                {"found", found != nullptr ? json(found) : json()}};
  };
  Look({{"load_seconds", 20},
        {"sections", {"run", "problems", "training"}},
        {"opened", "p-0000"},
        {"rows", 8},
        {"lists",
         {{{"filters", json::array()}, {"search", "p-0002"}, {"rows", 1}},
          {{"filters", json::array()}, {"search", "alert"}, {"rows", 1}}}},
        {"problem",
         {{"id", "p-0001"},
          {"response", 2},
          {"length", 8},
          {"tokens",
           {token(2, -0.125, 0.5, 0.5, 0), token(3, -0.5, 0.5, 0.1, 1),
            token(5, -0.125, 0.1, 0.1, 0, "sides differ by 0.125 on fresh rollouts, 0.2 asked for",
                  "0.500 \u2192 0.100")}}}}});
}

// By hand: q is 0.5, and 0 without the token that means the same; before token 2, 0.5 + 0.5 q = 75%
// of the answers are right. The right answer is told as most rollouts spell it.
TEST_F(ReportTest, ChromiumShowsWhatAlternativesMeanForTheAnswer) {
  if (!testing::HasTool(testing::kChromium)) return;
  MakeFork("exact");
  WriteReport({.run = run_, .output = page_});
  Look(Fork("7 75%</script><img\u00b7src=x\u00b7onerror=hostile=1> 25%", "7 100%"));
}

TEST_F(ReportTest, ChromiumShowsMeaningsWhereAProgramJudges) {
  if (!testing::HasTool(testing::kChromium)) return;
  MakeFork("code");
  WriteReport({.run = run_, .output = page_});
  Look(Fork(nullptr, nullptr));
}

// By hand, for 16 and then 24 of 32 samples: Wilson's intervals are [0.3364, 0.6636] and [0.5789,
// 0.8675], so Newcombe's of the change begins at 0.25 - sqrt(0.1711^2 + 0.1636^2) and ends at 0.25
// + sqrt(0.1175^2 + 0.1636^2).
TEST_F(ReportTest, TwoRunsAreComparedByTheirPrompts) {
  MakeRun(8, 6);
  MakeBeside();
  EXPECT_EQ(WriteBoth().both, 7);
  const json summary = Summary();
  const json& rows = summary["problems"];
  EXPECT_TRUE(rows[0]["beside"].is_null());
  EXPECT_EQ(rows[1]["beside"]["id"], "line 0001");
  EXPECT_EQ(rows[1]["beside"]["successes"], 24);
  const json want = {0.25, 0.0133, 0.4514};
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(rows[1]["beside"]["change"][i].get<double>(), want[i].get<double>(), 2e-4);
  EXPECT_EQ(rows[3]["beside"]["change"][0], 0);
  const json& beside = summary["beside"];
  EXPECT_EQ(beside["names"], (json{"run", "after"}));
  EXPECT_EQ(beside["only"], (json{1, 1}));
  // Five problems go from 1/2 to 3/4, and two stay at 1.
  EXPECT_EQ(beside["mean"], (json{0.6429, 0.8214}));
  EXPECT_EQ(beside["better"], 5);
  EXPECT_EQ(beside["worse"], 0);
  EXPECT_EQ(beside["pivotal"], (json{20, 20}));
  EXPECT_EQ(beside["settings"], json::array());
}

TEST_F(ReportTest, OfProblemsWithOnePromptEqualIdsDecide) {
  auto traces = Traces(2, 6);
  traces[1].prompt = traces[0].prompt;
  traces[1].answer = traces[0].answer;
  Store(traces, "numeric", run_);
  std::swap(traces[0], traces[1]);
  traces.push_back(traces[0]);
  traces.back().id = "third";
  Store(traces, "numeric", beside_);
  WriteBoth();
  const json summary = Summary();
  for (const json& row : summary["problems"]) EXPECT_EQ(row["beside"]["id"], row["id"]);
  EXPECT_EQ(summary["beside"]["only"], (json{0, 1}));
}

TEST_F(ReportTest, RunsThatCannotBeComparedAreRefused) {
  MakeRun(2, 6);
  auto traces = Traces(2, 6);
  for (QueryTrace& query : traces) query.prompt.push_back(7);
  Store(traces, "numeric", beside_);
  const auto refusal = [&]() -> std::string {
    try {
      WriteBoth();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal(), HasSubstr("none of its 2 problems has the prompt and the answer"));
  EXPECT_FALSE(fs::exists(page_));

  // Two characters change places in the vocabulary.
  const fs::path model = temp_.path() / "model";
  fs::create_directory(model);
  json tokenizer = json::parse(data::ReadFile(fs::path(testing::kTinyModel) / "tokenizer.json"));
  json& vocabulary = tokenizer["model"]["vocab"];
  std::swap(vocabulary["O"], vocabulary["C"]);
  temp_.Write("model/tokenizer.json", tokenizer.dump());
  fs::copy(fs::path(testing::kTinyModel) / "tokenizer_config.json", model);
  fs::remove_all(beside_);
  MakeBeside(model);
  EXPECT_THAT(refusal(), HasSubstr("its tokenizer is not that of"));
  EXPECT_FALSE(fs::exists(page_));
}

TEST_F(ReportTest, ChromiumShowsTwoRuns) {
  if (!testing::HasTool(testing::kChromium)) return;
  MakeRun(8, 6);
  MakeBeside();
  WriteBoth();
  Look({{"sections", {"run", "beside", "problems"}},
        {"opened", "p-0000"},
        {"rows", 8},
        {"beside",
         {{"both", 7},
          {"names", {"run", "after"}},
          {"problem", {{"id", "p-0001"}, {"responses", {2, 2}}, {"p", {"0.50", "0.75"}}}}}}});
}

// Random pages with hostile texts: all that report_page.py checks, and what axe-core finds.
class SamplePageTest : public ReportTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(SamplePageTest, HasNoBarriers) {
  if (!testing::HasTool(testing::kChromium) || !testing::HasTool(testing::kAxe)) return;
  const fs::path expected = temp_.path() / "expected.json";
  const auto made = testing::RunCommand(
      fmt::format("python3 {}/report_sample.py {} {} --problems 12 --tokens 60 {}", kScripts,
                  page_.string(), expected.string(), GetParam()));
  ASSERT_EQ(made.code, 0) << made.output;
  Look(expected, "--axe " PIVOTAL_AXE);
}

INSTANTIATE_TEST_SUITE_P(Pages, SamplePageTest, ::testing::Values("", "--beside", "--ablation"),
                         [](const auto& info) {
                           const std::string flag = info.param;
                           return flag.empty() ? "OneRun" : flag == "--beside" ? "TwoRuns" : "Arms";
                         });

// The page of a thousand problems with two responses of 200 tokens is under 20 MB. It lists them
// within two seconds on an idle machine; the limit here leaves room for busy ones.
TEST_F(ReportTest, AThousandProblemsStayQuick) {
  MakeRun(1000, 200);
  EXPECT_LT(WriteReport({.run = run_, .output = page_}).bytes, 20'000'000);
  if (!testing::HasTool(testing::kChromium)) return;
  Look({{"load_seconds", 20}, {"rows", 1000}});
}

}  // namespace
}  // namespace pivotal::experiments
