// Apache-2.0. Chat templates under transformers' own function: byte for byte the same text, an Error
// where it raises. Skipped where the Python that CMake was given (PIVOTAL_PYTHON) lacks transformers
// or jinja2; `make test-parity` installs them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/chat_template.h"
#include "data/error.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const fs::path kSource = PIVOTAL_SOURCE_DIR;

int Python(const std::string& arguments) {
  return std::system((std::string(PIVOTAL_PYTHON) + " " + arguments).c_str());
}

std::string Setting(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

struct Result {
  std::string text;
  bool failed = false, refused = false;  // refused: outside of the subset
};

Result Render(const Json& row) {
  std::vector<ChatMessage> messages;
  for (const Json& message : row["messages"]) messages.push_back({message["role"], message["content"]});
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
  if (Python("-c 'import jinja2, transformers' 2>/dev/null") != 0)
    GTEST_SKIP() << PIVOTAL_PYTHON << " lacks jinja2 or transformers; run make test-parity";
  const testing::TempDir temp;
  const fs::path out = temp.path() / "cases.jsonl";
  std::string folders;
  // Tokenizer folders of real models, where there are some.
  const fs::path real = kSource / "../shared/data/tokenizers";
  if (fs::exists(real))
    for (const auto& entry : fs::directory_iterator(real)) folders.append(" ").append(entry.path().string());
  ASSERT_EQ(Python((kSource / "tests/data/transformers_chat.py").string() + " " + Setting("PIVOTAL_PARITY_SEED", "1") +
                   " " + Setting("PIVOTAL_PARITY_CASES", "2000") + " " + out.string() + folders + " 2>/dev/null"), 0);
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
    ADD_FAILURE() << row["template"] << "\nmessages " << row["messages"] << "\nours   " << (ours.failed ? "Error: " : "")
                  << ours.text << "\ntheirs " << row["text"];
    if (++shown == 10) break;
  }
  for (const auto& [kind, outcomes] : counts)
    for (const auto& [outcome, count] : outcomes) std::printf("%s: %s %d\n", kind.c_str(), outcome.c_str(), count);
  EXPECT_GT(counts["random"]["rendered"], counts["random"]["refused"] * 2);
}

}  // namespace
}  // namespace pivotal::data
