// Apache-2.0. Compares pivotal export --format steering with transformers: outputs of every layer
// and their mean differences agree within 1e-4. Skips if the Python that CMake was given
// (PIVOTAL_PYTHON) lacks torch or transformers; `make test-parity` installs them.
// steering_parity.py computes the outputs with transformers.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "data/base/file_sink.h"
#include "data/traces/trace_store.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<json> Lines(const fs::path& path) {
  std::vector<json> lines;
  std::istringstream in(data::ReadFile(path));
  for (std::string line; std::getline(in, line);) lines.push_back(json::parse(line));
  return lines;
}

void RunPivotal(const std::string& arguments) {
  const auto ran = testing::Pivotal(arguments);
  ASSERT_EQ(ran.code, 0) << ran.output;
}

// Returns the input of steering_parity.py: the ids before each pivotal token, and the ids up to and
// including either side of each pair.
json CasesOf(const fs::path& run) {
  json cases = {{"prefixes", json::object()}, {"pairs", json::array()}};
  for (const QueryTrace& query : data::TraceStore(run).ReadAll()) {
    for (std::size_t r = 0; r < query.responses.size(); ++r) {
      const auto& response = query.responses[r];
      for (const PivotalToken& token : response.pivotal) {
        auto ids = query.prompt;
        ids.insert(ids.end(), response.tokens.begin(),
                   response.tokens.begin() + token.position - 1);
        cases["prefixes"]
             [query.id + "/" + std::to_string(r) + "/" + std::to_string(token.position)] = ids;
      }
    }
  }
  for (const json& pair : Lines(run / "pairs.jsonl")) {
    json sides;
    for (const char* side : {"chosen_ids", "rejected_ids"}) {
      auto ids = pair["prompt_ids"].get<std::vector<TokenId>>();
      ids.push_back(pair[side][0]);
      sides.push_back(ids);
    }
    cases["pairs"].push_back(sides);
  }
  return cases;
}

double LargestDifference(const json& ours, const json& theirs) {
  EXPECT_EQ(ours.size(), theirs.size());
  double worst = 0;
  for (std::size_t i = 0; i < ours.size(); ++i)
    worst = std::max(worst, std::abs(ours[i].get<double>() - theirs[i].get<double>()));
  return worst;
}

TEST(SteeringParity, EveryLayerOfTheShippedModel) {
  if (testing::RunCommand(PIVOTAL_PYTHON " -c 'import torch, transformers'").code != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks torch or transformers; run make test-parity";
  const testing::TempDir temp;
  const fs::path run = temp.path() / "run", truth = temp.path() / "truth.json";
  ASSERT_NO_FATAL_FAILURE(RunPivotal(
      "search --model " + testing::kTinyModel + " --problems " + testing::kTiny +
      "/problems/train.jsonl " +
      "--limit 10 --samples 16 --confirm 16 --max-new-tokens 64 --output " + run.string()));
  ASSERT_NO_FATAL_FAILURE(RunPivotal("pairs " + run.string()));
  ASSERT_NO_FATAL_FAILURE(RunPivotal("export " + run.string() + " --format steering"));
  const json cases = CasesOf(run);
  ASSERT_GT(cases["pairs"].size(), 2u);
  const fs::path given = temp.Write("cases.json", cases.dump());
  const auto python =
      testing::RunCommand(std::string(PIVOTAL_PYTHON) +
                          " " PIVOTAL_SOURCE_DIR "/tests/experiments/search/steering_parity.py " +
                          testing::kTinyModel + " " + given.string() + " " + truth.string());
  ASSERT_EQ(python.code, 0) << python.output;
  const json theirs = json::parse(data::ReadFile(truth));

  double hidden = 0, mean = 0;
  std::set<std::pair<std::string, std::size_t>> compared;
  for (const json& line : Lines(run / "steering.jsonl")) {
    const std::size_t layer = line["layer"];
    const std::string id = line.value("id", "mean");
    EXPECT_TRUE(compared.emplace(id, layer).second) << id << " twice";
    if (id == "mean") {
      EXPECT_EQ(line["pairs"], cases["pairs"].size());
      mean = std::max(mean,
                      LargestDifference(line["mean_difference"], theirs["mean_difference"][layer]));
    } else {
      EXPECT_EQ(line["position"], cases["prefixes"][id].size());
      hidden = std::max(hidden, LargestDifference(line["hidden"], theirs["hidden"][id][layer]));
    }
  }
  EXPECT_EQ(compared.size(), theirs["mean_difference"].size() * (1 + cases["prefixes"].size()));
  EXPECT_LT(hidden, 1e-4);
  EXPECT_LT(mean, 1e-4);
  std::printf(
      "%zu tokens, %zu pairs: largest difference of an output %.2g, of a mean difference %.2g\n",
      cases["prefixes"].size(), cases["pairs"].size(), hidden, mean);
}

}  // namespace
}  // namespace pivotal::experiments
