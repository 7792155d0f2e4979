// Apache-2.0. Tokenizers give the same ids and texts as Python's tokenizers and tiktoken on the
// shared data, on all characters and on random text. The tests are skipped if that data is absent,
// or if the Python that CMake was given (PIVOTAL_PYTHON) lacks the packages.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "pivotal/tokenizer.h"
#include "tests/support/temp_dir.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<TokenId>;
using nlohmann::json;

const fs::path kSource = PIVOTAL_SOURCE_DIR;
const fs::path kShared = kSource / "../shared/data";

int Python(const std::string& arguments) {
  return std::system((std::string(PIVOTAL_PYTHON) + " " + arguments).c_str());
}

struct Counts {
  std::size_t texts = 0, characters = 0, tokens = 0, differences = 0;
};

// Reports the first few differences.
template <typename T>
void Check(const T& ours, const T& theirs, const json& line, Counts& counts) {
  if (ours == theirs) return;
  if (++counts.differences > 5) return;
  ADD_FAILURE() << line.dump(-1, ' ', true).substr(0, 600)
                << "\nours: " << json(ours).dump(-1, ' ', true).substr(0, 600);
}

class TokenizerParity : public ::testing::TestWithParam<const char*> {
 protected:
  void Compare(const fs::path& folder, const std::string& seed, const std::string& characters) {
    if (!fs::exists(kShared / "gsm8k")) GTEST_SKIP() << "no " << kShared;
    if (Python("-c 'import tokenizers, tiktoken' 2>/dev/null") != 0) {
      GTEST_SKIP() << PIVOTAL_PYTHON << " lacks tokenizers or tiktoken; run make test-parity";
    }
    const std::string out = (temp_.path() / "lines.jsonl").string();
    ASSERT_EQ(Python((kSource / "tests/data/tokenizer/tokenizer_parity.py").string() + " " +
                     folder.string() + " " + kShared.string() + " " + seed + " " + characters +
                     " " + out),
              0);
    const auto tokenizer = LoadTokenizer(folder);
    Counts counts;
    std::ifstream in(out);
    for (std::string text; std::getline(in, text);) {
      const json line = json::parse(text);
      const auto ids = line["ids"].get<Ids>();
      if (line.contains("text")) {
        const auto& whole = line["text"].get_ref<const std::string&>();
        Check(tokenizer->Encode(whole), ids, line, counts);
        ++counts.texts;
        counts.tokens += ids.size();
        for (const char c : whole) counts.characters += (c & 0xC0) != 0x80;
      }
      Check(tokenizer->Decode(ids, true), line["decoded"].get<std::string>(), line, counts);
    }
    std::printf("%s: %zu texts, %zu characters, %zu tokens, %zu differences\n", folder.c_str(),
                counts.texts, counts.characters, counts.tokens, counts.differences);
    EXPECT_GT(counts.characters, 1'000'000u);
    EXPECT_EQ(counts.differences, 0u);
  }

  testing::TempDir temp_;
};

TEST_P(TokenizerParity, OnRealTokenizers) {
  Compare(kShared / "tokenizers" / GetParam(), "7", "1000000");
}
INSTANTIATE_TEST_SUITE_P(Phi, TokenizerParity,
                         ::testing::Values("phi-2", "phi-3-mini", "phi-3-small", "phi-4"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Changes the real files to variants that newer exports use.
class TokenizerVariantParity : public TokenizerParity {
 protected:
  // Compares the folder `name` after `change` of its tokenizer.json.
  void CompareChanged(const char* name, const std::function<void(json&)>& change) {
    const fs::path file = kShared / "tokenizers" / name / "tokenizer.json";
    if (!fs::exists(file)) GTEST_SKIP() << "no " << file;
    json root = json::parse(std::ifstream(file));
    change(root);
    temp_.Write("tokenizer.json", root.dump());
    Compare(temp_.path(), "11", "400000");
  }
};

TEST_F(TokenizerVariantParity, MetaspaceInsteadOfNormalizer) {
  CompareChanged("phi-3-mini", [](json& root) {
    root["normalizer"] = nullptr;
    root["pre_tokenizer"] = {
        {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}, {"split", false}};
  });
}

TEST_F(TokenizerVariantParity, MetaspaceThatSplits) {
  CompareChanged("phi-3-mini", [](json& root) {
    root["normalizer"] = nullptr;
    root["pre_tokenizer"] = {
        {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "always"}, {"split", true}};
    root["decoder"] = root["pre_tokenizer"];
  });
}

// Some byte tokens are missing, so that unknown tokens appear and are fused.
TEST_F(TokenizerVariantParity, UnknownCharacters) {
  for (const bool fuse : {true, false}) {
    CompareChanged("phi-3-mini", [&](json& root) {
      root["model"]["byte_fallback"] = fuse;
      root["model"]["fuse_unk"] = fuse;
      auto& vocab = root["model"]["vocab"];
      for (int byte = 0xE2; byte < 0xF0; ++byte) {
        char name[8];
        std::snprintf(name, sizeof(name), "<0x%02X>", byte);
        const int id = vocab[name];
        vocab.erase(name);
        vocab["gone" + std::to_string(byte)] = id;
      }
      for (json& token : root["added_tokens"]) {
        token["normalized"] = token["special"] == false;
        token["single_word"] = token["id"] == 2;
      }
    });
  }
}

// Cuts words with the expression of Phi-4-mini (o200k); the vocabulary is that of Phi-4.
TEST_F(TokenizerVariantParity, O200kWords) {
  CompareChanged("phi-4", [](json& root) {
    root["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] =
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
        R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
        R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  });
}

TEST_F(TokenizerVariantParity, Cl100kWordsAsPhi4SpellsThem) {
  CompareChanged("phi-4", [](json& root) {
    root["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
        R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    root["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed";
    root["pre_tokenizer"]["pretokenizers"][0]["invert"] = true;
    root["model"]["ignore_merges"] = false;
  });
}

}  // namespace
}  // namespace pivotal::data
