// Apache-2.0. Chat templates render to the same bytes as in transformers, and fail where it raises
// an exception. The test is skipped where PIVOTAL_PYTHON (set by CMake) lacks transformers or
// jinja2; `make test-parity` installs them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/base/error.h"
#include "data/template/chat_template.h"
#include "tests/support/run_command.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kSource = PIVOTAL_SOURCE_DIR;

std::string Setting(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

struct Result {
  std::string text;
  bool failed = false;   // an Error was thrown, whose text is `text`
  bool refused = false;  // it says that the template is outside the supported subset
};

Result Render(const Json& row) {
  std::vector<ChatMessage> messages;
  for (const Json& message : row["messages"])
    messages.push_back({message["role"], message["content"]});
  ChatTemplate::SpecialTokens special;
  for (const auto& [name, text] : row["special"].items()) special.emplace_back(name, text);
  try {
    return {ChatTemplate(row["template"].get<std::string>(), "t", special).Render(messages)};
  } catch (const Error& error) {
    const std::string what = error.what();
    bool refused = false;
    for (const char* reason : {"support", "can only be printed", "too much work"})
      refused = refused || what.find(reason) != std::string::npos;
    return {what, true, refused};
  }
}

TEST(ChatTemplateParity, RendersAsTransformersDoes) {
  if (testing::Python("-c 'import jinja2, transformers'").code != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks jinja2 or transformers; run make test-parity";
  const testing::TempDir temp;
  const fs::path out = temp.path() / "cases.jsonl";
  std::string folders = " " + (kSource / "experiments/small/model").string();
  // Adds the tokenizer folders of real models, where they are installed.
  const fs::path real = kSource / "../shared/data/tokenizers";
  if (fs::exists(real))
    for (const auto& entry : fs::directory_iterator(real))
      folders.append(" ").append(entry.path().string());
  const auto rendered =
      testing::Python((kSource / "tests/data/template/transformers_chat.py").string() + " " +
                      Setting("PIVOTAL_PARITY_SEED", "1") + " " +
                      Setting("PIVOTAL_PARITY_CASES", "2000") + " " + out.string() + folders);
  ASSERT_EQ(rendered.code, 0) << rendered.output;
  std::map<std::string, std::map<std::string, int>> counts;
  std::ifstream in(out);
  int shown = 0;
  for (std::string line; std::getline(in, line);) {
    const Json row = Json::parse(line);
    const std::string kind = row["kind"];
    const Result ours = Render(row);
    const bool theirs = row["text"].is_string();
    ++counts[kind][ours.refused ? "refused" : theirs ? "rendered" : "raised"];
    EXPECT_TRUE(kind == "random" || !ours.refused) << ours.text;
    if (ours.refused || (theirs ? !ours.failed && ours.text == row["text"] : ours.failed)) continue;
    ADD_FAILURE() << row["template"] << "\nmessages " << row["messages"] << "\nours   "
                  << (ours.failed ? "Error: " : "") << ours.text << "\ntheirs " << row["text"];
    if (++shown == 10) break;
  }
  for (const auto& [kind, outcomes] : counts)
    for (const auto& [outcome, count] : outcomes)
      std::printf("%s: %s %d\n", kind.c_str(), outcome.c_str(), count);
  EXPECT_GT(counts["random"]["rendered"], counts["random"]["refused"] * 2);
}

}  // namespace
}  // namespace pivotal::data
