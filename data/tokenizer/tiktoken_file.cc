// Apache-2.0.
#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_set>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/tokenizer/bpe_model.h"
#include "data/tokenizer/bpe_tokenizer.h"
#include "data/tokenizer/tokenizer_files.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;

// Decodes base64 with padding (RFC 4648). Returns nullopt for other text.
std::optional<std::string> FromBase64(std::string_view text) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(padding);
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFF);
  }
  return bytes;
}

// Returns the ranks of all tokens, whose names are their bytes.
BpeModel::Vocabulary ReadRanks(const fs::path& path) {
  const std::string text = ReadFile(path);
  BpeModel::Vocabulary ranks;
  std::unordered_set<TokenId> ids;
  std::size_t line = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view row = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++line;
    if (row.ends_with('\r')) row.remove_suffix(1);
    if (row.empty()) continue;
    const std::size_t blank = row.find(' ');
    TokenId id = -1;
    const auto bytes = FromBase64(row.substr(0, blank));
    const std::string_view number = blank < row.size() ? row.substr(blank + 1) : "";
    const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), id);
    if (!bytes || error != std::errc() || stop != number.data() + number.size() || id < 0 ||
        id >= kMaxVocabulary) {
      Fail("{}:{}: a token in base64 and its rank (0 to {}) are needed, not {}", path.string(),
           line, kMaxVocabulary - 1, Quoted(row));
    }
    if (!ids.insert(id).second) Fail("{}:{}: rank {} stands twice", path.string(), line, id);
    if (!ranks.emplace(*bytes, id).second) {
      Fail("{}:{}: token {} stands twice", path.string(), line, Quoted(row.substr(0, blank)));
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (!ranks.contains(std::string(1, static_cast<char>(byte)))) {
      Fail("{}: no token for byte 0x{:02X}; download it again", path.string(), byte);
    }
  }
  return ranks;
}

// Adds each way to build a token of two tokens. tiktoken merges first where the result has the
// lowest rank.
void AddMerges(const BpeModel::Vocabulary& ranks, std::vector<BpeMerge>& merges) {
  for (const auto& [token, id] : ranks) {
    const std::string_view bytes = token;
    for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
      const auto left = ranks.find(bytes.substr(0, cut));
      if (left == ranks.end()) continue;
      const auto right = ranks.find(bytes.substr(cut));
      if (right == ranks.end()) continue;
      merges.push_back({left->second, right->second, id, static_cast<uint32_t>(id)});
    }
  }
}

WordPattern PatternOf(const fs::path& path) {
  if (path.filename() == "cl100k_base.tiktoken") return WordPattern::kTiktoken;
  if (path.filename() == "o200k_base.tiktoken") return WordPattern::kO200k;
  Fail("{}: only cl100k_base.tiktoken and o200k_base.tiktoken are supported", path.string());
}

void AddTokens(const TokenizerConfig& config, const fs::path& folder, BpeTokenizerParts& parts) {
  std::unordered_map<TokenId, const std::string*> token_of;
  for (const auto& [token, id] : parts.vocabulary) token_of[id] = &token;
  for (const AddedToken& token : config.added) {
    const auto known = token_of.find(token.id);
    if (known != token_of.end() && *known->second != token.content) {
      Fail("{}: id {} of {} is a token of the *.tiktoken file; give it another",
           (folder / "tokenizer_config.json").string(), token.id, Quoted(token.content));
    }
    parts.added.push_back(token);
    parts.added.back().normalized = false;
  }
}

}  // namespace

fs::path FindTiktokenFile(const fs::path& folder) {
  fs::path found;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().extension() != ".tiktoken") continue;
    if (!found.empty()) Fail("{}: more than one *.tiktoken; keep one", folder.string());
    found = entry->path();
  }
  return found;
}

std::unique_ptr<const Tokenizer> LoadTiktoken(const fs::path& folder) {
  const fs::path path = FindTiktokenFile(folder);
  BpeTokenizerParts parts;
  parts.settings.byte_level = true;
  parts.settings.ignore_merges = true;
  parts.pre_tokenizers.push_back(MakeWordSplit(PatternOf(path)));
  parts.decoder.push_back({.kind = DecodeStep::Kind::kByteLevel});
  const BpeModel::Vocabulary ranks = ReadRanks(path);
  AddMerges(ranks, parts.merges);
  for (const auto& [bytes, id] : ranks) {
    std::string token;
    for (const char byte : bytes) token += CharOfByte(static_cast<unsigned char>(byte));
    parts.vocabulary.emplace(std::move(token), id);
  }
  const TokenizerConfig config = ReadTokenizerConfig(folder, kMaxVocabulary);
  AddTokens(config, folder, parts);
  const auto id_of = [&](const std::string& name) {
    const auto id = ranks.find(name);
    return id != ranks.end() ? id->second : -1;
  };
  const auto resolve = [&](const TokenName& name, const char* key) {
    return ResolveToken(name, -1, parts.added, id_of, folder, key, path.filename().string());
  };
  parts.bos = resolve(config.bos, "bos_token");
  parts.eos = resolve(config.eos, "eos_token");
  parts.adds_bos = config.adds_bos;
  return MakeBpeTokenizer(std::move(parts));
}

}  // namespace pivotal::data
