// Apache-2.0. TRL's PRMTrainer reads what pivotal export --format prm writes, and trains on it.
// Skips if the Python that CMake was given (PIVOTAL_PYTHON) has no PRMTrainer; `make test-parity`
// installs a TRL that does. prm_parity.py runs it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "data/base/file_sink.h"
#include "data/traces/trace_store.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// TRL's tokenizer may put a blank before each step, so texts are compared without blanks.
std::string WithoutBlanks(std::string text) {
  std::erase(text, ' ');
  return text;
}

TEST(PrmParity, TrlTrainsOnTheSteps) {
  const std::string python = PIVOTAL_PYTHON;
  const std::string find =
      " -W ignore -c 'import sys; sys.path.insert(0, sys.prefix + \"/trl-prm\"); "
      "from trl.experimental.prm import PRMTrainer'";
  if (testing::RunCommand(python + find).code != 0)
    GTEST_SKIP() << python << " lacks TRL's PRMTrainer; run make test-parity";
  const testing::TempDir temp;
  const fs::path run = temp.path() / "run", out = temp.path() / "out.json";
  const auto search = testing::Pivotal("search --model " + testing::kTinyModel + " --problems " +
                                       testing::kTiny + "/problems/train.jsonl --limit 6 " +
                                       "--samples 16 --max-new-tokens 64 --output " + run.string());
  ASSERT_EQ(search.code, 0) << search.output;
  const auto made = testing::Pivotal("export " + run.string() + " --format prm");
  ASSERT_EQ(made.code, 0) << made.output;
  const auto trained = testing::RunCommand(
      python + " " PIVOTAL_SOURCE_DIR "/tests/experiments/search/prm_parity.py " +
      testing::kTinyModel + " " + (run / "prm.jsonl").string() + " " + out.string());
  ASSERT_EQ(trained.code, 0) << trained.output;
  const json theirs = json::parse(data::ReadFile(out));
  EXPECT_EQ(theirs["losses"].size(), 2u);

  const auto tokenizer = LoadTokenizer(testing::kTinyModel);
  std::istringstream lines(data::ReadFile(run / "prm.jsonl"));
  std::size_t row = 0;
  for (const QueryTrace& query : data::TraceStore(run).ReadAll()) {
    for (const ResponseTrace& response : query.responses) {
      SCOPED_TRACE(query.id);
      std::string text;
      ASSERT_TRUE(std::getline(lines, text));
      const json line = json::parse(text);
      EXPECT_EQ(line["id"], query.id);
      std::string joined;
      for (const json& step : line["completions"]) joined += step.get<std::string>();
      EXPECT_EQ(joined, tokenizer->Decode(response.tokens));
      EXPECT_EQ(WithoutBlanks(theirs["texts"][row]),
                WithoutBlanks(line["prompt"].get<std::string>() + joined));
      std::vector<int> labels;
      for (const double p : line["p"].get<std::vector<double>>()) labels.push_back(p >= 0.125);
      EXPECT_EQ(theirs["labels"][row], labels);
      EXPECT_EQ(labels.back(), response.success ? 1 : 0);
      ++row;
    }
  }
  EXPECT_EQ(theirs["labels"].size(), row);
  EXPECT_GT(row, 4u);
}

}  // namespace
}  // namespace pivotal::experiments
