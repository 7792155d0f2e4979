// Apache-2.0. Lines of text and of messages become the token ids that TRL makes of them;
// tests/data/pairs/trl_examples.py runs TRL. The test is skipped where PIVOTAL_PYTHON (set by
// CMake) lacks trl; `make test-parity` installs it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "data/pairs/pair_file.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Sides = std::vector<std::vector<TokenId>>;  // the prompt first

const fs::path kSource = PIVOTAL_SOURCE_DIR;

std::vector<Sides> Load(const fs::path& file, bool pairs, const TextCoding& coding) {
  std::vector<Sides> lines;
  if (pairs) {
    for (const PreferencePair& pair : LoadPairs(file, coding))
      lines.push_back({pair.prompt_ids, pair.chosen_ids, pair.rejected_ids});
  } else {
    for (const PromptCompletion& item : LoadPromptCompletions(file, coding))
      lines.push_back({item.prompt_ids, item.completion_ids});
  }
  return lines;
}

TEST(ExampleTextParity, IdsAreThoseOfTrl) {
  if (testing::Python("-c 'import trl'").code != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks trl; run make test-parity";
  const testing::TempDir temp;
  std::string folders = (kSource / "experiments/tiny/model").string();
  // Adds the tokenizer folders of real models, where they are installed.
  const fs::path real = kSource / "../shared/data/tokenizers";
  if (fs::exists(real))
    for (const auto& entry : fs::directory_iterator(real)) folders += " " + entry.path().string();
  const char* seed = std::getenv("PIVOTAL_PARITY_SEED");
  const auto made =
      testing::Python((kSource / "tests/data/pairs/trl_examples.py").string() + " " +
                      (seed != nullptr ? seed : "1") + " " + temp.path().string() + " " + folders);
  ASSERT_EQ(made.code, 0) << made.output;

  std::set<std::string> kinds;
  for (const Json& test : Json::parse(std::ifstream(temp.path() / "cases.json"))) {
    const std::string kind = test["kind"];
    const fs::path folder = test["folder"].get<std::string>(),
                   file = temp.path() / test["data"].get<std::string>();
    SCOPED_TRACE(file.filename().string());
    const auto tokenizer = LoadTokenizer(folder);
    const PromptFormat format = MakePromptFormat("auto", folder, *tokenizer);
    const auto ours = Load(file, kind.starts_with("pair"), {*tokenizer, format});
    const auto theirs = test["ids"].get<std::vector<Sides>>();
    ASSERT_EQ(ours.size(), theirs.size());
    EXPECT_GT(ours.size(), 20u) << "too few lines are left";
    std::ifstream lines(file);
    std::string line;
    for (std::size_t i = 0; i < ours.size() && std::getline(lines, line); ++i)
      EXPECT_EQ(ours[i], theirs[i]) << line;
    std::printf("%-40s %zu lines\n", file.filename().c_str(), ours.size());
    kinds.insert(kind);
  }
  EXPECT_EQ(kinds.size(), 7u);
}

}  // namespace
}  // namespace pivotal::data
