// Apache-2.0. The tiny model served by vLLM and by llama.cpp's server: a search with a server finds
// what the built-in engine measures, and TRL trains on its pairs. served_parity.py starts the
// servers; each test is skipped where its server is missing. PIVOTAL_SERVED_PROBLEMS sets how many
// problems are searched (default 6).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "data/base/file_sink.h"
#include "data/traces/trace_store.h"
#include "experiments/settings/loading.h"
#include "model/rollout_engine.h"
#include "pts/judging.h"
#include "tests/support/run_command.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

const std::string kScript = PIVOTAL_SOURCE_DIR "/tests/experiments/search/served_parity.py ";
constexpr int32_t kNewTokens = 64;

std::string Problems() {
  const char* set = std::getenv("PIVOTAL_SERVED_PROBLEMS");
  return set == nullptr ? "6" : set;
}

// Says what is missing for the test; "" if nothing is.
std::string Missing(const std::string& what) {
  const auto found = testing::Python(kScript + "check " + what);
  return found.code == 0 ? found.output : "fails: " + found.output;
}

ModelSettings TinyModel() {
  ModelSettings settings;
  settings.folder = testing::kTinyModel;
  settings.device = "cpu";
  return settings;
}

// The built-in engine and the judge, as the truth.
class Measurement {
 public:
  Measurement()
      : model_(LoadModel(TinyModel())),
        engine_(model_.phi(), {.seed = 77}),
        oracle_(MakeOracle("numeric", {})),
        judge_(MakeJudge(model_.tokenizer(), *oracle_)) {}

  // Returns the share of right rollouts from P_k and its standard error.
  std::pair<double, double> Success(const QueryTrace& query, int32_t response, int32_t k) {
    const Query asked{query.id, query.question, query.answer, query.prompt};
    const auto& tokens = query.responses[static_cast<std::size_t>(response)].tokens;
    if (k == std::ssize(tokens)) return {judge_(asked, tokens) ? 1 : 0, 0};
    constexpr int32_t kRollouts = 400;
    RolloutRequest request{PrefixOf(query, response, k), kRollouts, kNewTokens - k};
    request.stream = stream_++;
    double right = 0;
    const auto rollouts = engine_.Sample({&request, 1}, Progress());
    for (const Rollout& rollout : rollouts[0]) {
      std::vector<TokenId> whole(tokens.begin(), tokens.begin() + k);
      whole.insert(whole.end(), rollout.tokens.begin(), rollout.tokens.end());
      right += judge_(asked, whole);
    }
    const double p = right / kRollouts;
    return {p, std::sqrt(std::max(p * (1 - p), 1.0 / kRollouts) / kRollouts)};
  }

  // Returns the largest difference of the log-probabilities of a response.
  double LogprobError(const QueryTrace& query, const ResponseTrace& response) {
    const auto scores = engine_.Score(query.prompt, response.tokens);
    double worst = 0;
    for (std::size_t i = 0; i < scores.size(); ++i)
      worst = std::max(worst, std::abs(double{scores[i].logprob} - response.logprobs[i]));
    return worst;
  }

 private:
  LoadedModel model_;
  model::RolloutEngine engine_;
  std::unique_ptr<const Oracle> oracle_;
  Judge judge_;
  uint64_t stream_ = 1;
};

class ServedParity : public ::testing::TestWithParam<const char*> {};

TEST_P(ServedParity, ASearchFindsWhatTheBuiltInEngineMeasures) {
  const std::string kind = GetParam();
  if (const std::string missing = Missing(kind); !missing.empty())
    GTEST_SKIP() << kind << ": " << missing << "; run make test-parity";
  const testing::ServerProcess server(std::string(PIVOTAL_PYTHON) + " " + kScript + "serve " +
                                      kind + " " + testing::kTinyModel + " 2> /dev/null");
  ASSERT_THAT(server.address(), ::testing::StartsWith("http://"));
  const testing::TempDir temp;
  const fs::path run = temp.path() / "run";
  const std::string from =
      "--policy " + server.address() + "/v1 --tokenizer " + testing::kTinyModel + " --server auto ";
  const auto search = testing::Pivotal(
      "search " + from + "--problems " + testing::kTiny + "/problems/train.jsonl --limit " +
      Problems() + " --oracle numeric --max-new-tokens 64 --output " + run.string());
  ASSERT_EQ(search.code, 0) << search.output;
  Measurement truth;
  int found = 0, missed = 0, estimates = 0, off = 0;
  double error = 0;
  const auto traces = data::TraceStore(run).ReadAll();
  for (const QueryTrace& query : traces) {
    for (std::size_t r = 0; r < query.responses.size(); ++r) {
      const ResponseTrace& response = query.responses[r];
      error = std::max(error, truth.LogprobError(query, response));
      for (const PivotalToken& token : response.pivotal) {
        const auto r32 = static_cast<int32_t>(r);
        const auto [before, before_error] = truth.Success(query, r32, token.position - 1);
        const auto [after, after_error] = truth.Success(query, r32, token.position);
        const double slack = 3 * std::hypot(before_error, after_error);
        ++found;
        missed += after - before < token.low - slack || after - before > token.high + slack;
        const auto estimate =
            std::ranges::find(response.estimates, token.position - 1, &PrefixEstimate::position);
        if (estimate == response.estimates.end()) continue;
        ++estimates;
        off +=
            before < estimate->low - 3 * before_error || before > estimate->high + 3 * before_error;
      }
    }
  }
  std::printf(
      "%s: %zu problems, %d pivotal tokens, %d outside their intervals; %d estimates, %d "
      "outside; log-probabilities differ by %.1e at most\n",
      kind.c_str(), traces.size(), found, missed, estimates, off, error);
  EXPECT_GE(found, 6);
  EXPECT_LE(missed, 1 + found / 20);
  EXPECT_LE(off, 1 + estimates / 20);
  EXPECT_LT(error, 2e-3);

  // Scores of the same sequences agree.
  std::string lines;
  for (const QueryTrace& query : traces)
    for (const ResponseTrace& response : query.responses)
      lines +=
          nlohmann::json{{"prompt_ids", query.prompt}, {"completion_ids", response.tokens}}.dump() +
          "\n";
  temp.Write("lines.jsonl", lines);
  const std::string input = "--input " + (temp.path() / "lines.jsonl").string() + " --output ";
  const auto theirs = testing::Pivotal("score " + from + input + (temp.path() / "a").string());
  const auto ours = testing::Pivotal("score --model " + testing::kTinyModel + " " + input +
                                     (temp.path() / "b").string());
  ASSERT_EQ(theirs.code, 0) << theirs.output;
  ASSERT_EQ(ours.code, 0) << ours.output;
  std::istringstream a(data::ReadFile(temp.path() / "a")), b(data::ReadFile(temp.path() / "b"));
  for (std::string x, y; std::getline(a, x) && std::getline(b, y);) {
    const auto p = nlohmann::json::parse(x)["logprobs"], q = nlohmann::json::parse(y)["logprobs"];
    ASSERT_EQ(p.size(), q.size());
    for (std::size_t i = 0; i < p.size(); ++i)
      EXPECT_NEAR(p[i].get<double>(), q[i].get<double>(), 2e-3);
  }

  if (const std::string missing = Missing("trl"); !missing.empty()) {
    std::printf("TRL does not train: %s\n", missing.c_str());
    return;
  }
  const std::string pairs = (run / "pairs.jsonl").string();
  ASSERT_EQ(testing::Pivotal("pairs " + run.string() + " --output " + pairs).code, 0);
  const auto trained =
      testing::RunCommand(std::string(PIVOTAL_PYTHON) + " -W ignore " + kScript + "train " + pairs +
                          " " + testing::kTinyModel + " 2> " + (temp.path() / "log").string());
  ASSERT_EQ(trained.code, 0) << data::ReadFile(temp.path() / "log");
  const auto losses = nlohmann::json::parse(
      trained.output.substr(trained.output.rfind('[', trained.output.size())));
  EXPECT_EQ(losses.size(), 2u);
  for (const auto& loss : losses) EXPECT_NEAR(loss.get<double>(), std::log(2), 0.1);
}

INSTANTIATE_TEST_SUITE_P(Servers, ServedParity, ::testing::Values("vllm", "llama.cpp"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '.');
                           return name;
                         });

}  // namespace
}  // namespace pivotal::experiments
