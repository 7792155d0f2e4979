// Apache-2.0. A tokenizer put together from parts.
#include "data/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "data/utf8.h"

namespace pivotal::data {
namespace {

// Those that are looked for in the text as it is, or in the normalized text.
std::vector<AddedToken> Select(const BpeTokenizerParts& parts, bool normalized) {
  std::vector<AddedToken> tokens;
  for (const AddedToken& token : parts.added) {
    if (token.normalized != normalized) continue;
    tokens.push_back(token);
    if (normalized) tokens.back().content = Normalize(parts.normalizer, token.content);
  }
  return tokens;
}

class BpeTokenizer : public Tokenizer {
 public:
  explicit BpeTokenizer(BpeTokenizerParts parts);

  std::vector<TokenId> Encode(std::string_view text) const override;
  std::vector<TokenId> EncodeWithSpecial(std::string_view text) const override;
  std::string Decode(std::span<const TokenId> ids, bool at_start) const override;
  std::string Piece(TokenId id) const override;
  int32_t VocabSize() const override { return vocab_size_; }
  TokenId bos() const override { return bos_; }
  TokenId eos() const override { return eos_; }
  bool adds_bos() const override { return adds_bos_; }

 private:
  struct Surface {
    std::string token;     // what the decoder gets
    bool added = false;    // shown by name
    bool special = false;  // prints nothing
  };

  // One piece between added tokens of the raw text; `first`: it begins the text.
  void EncodePiece(std::string_view text, bool first, std::vector<TokenId>& ids) const;
  void EncodeWords(std::string_view text, bool first, std::vector<TokenId>& ids) const;

  BpeModel model_;
  AddedTokenMatcher raw_, normalized_;
  std::vector<NormalizeStep> normalizer_;
  PreTokenizers pre_tokenizers_;
  PieceDecoder decoder_;
  std::unordered_map<TokenId, Surface> surfaces_;
  std::optional<std::pair<std::vector<TokenId>, std::vector<TokenId>>> frame_;
  int32_t vocab_size_ = 0;
  TokenId bos_ = -1, eos_ = -1;
  bool adds_bos_ = false;
};

BpeTokenizer::BpeTokenizer(BpeTokenizerParts parts)
    : model_(parts.settings, parts.vocabulary, parts.merges),
      raw_(Select(parts, false)),
      normalized_(Select(parts, true)),
      normalizer_(std::move(parts.normalizer)),
      pre_tokenizers_(std::move(parts.pre_tokenizers)),
      decoder_(std::move(parts.decoder)),
      frame_(std::move(parts.frame)),
      bos_(parts.bos),
      eos_(parts.eos),
      adds_bos_(parts.adds_bos && parts.bos >= 0) {
  surfaces_.reserve(parts.vocabulary.size() + parts.added.size());
  for (const auto& [token, id] : parts.vocabulary) surfaces_[id] = {token};
  for (const AddedToken& token : parts.added) {
    // What was found in the normalized text is put back through the decoder.
    const bool normalized = token.normalized && !token.special;
    std::string text = normalized ? Normalize(normalizer_, token.content) : token.content;
    surfaces_[token.id] = {std::move(text), true, token.special};
  }
  for (const auto& [id, surface] : surfaces_) vocab_size_ = std::max(vocab_size_, id + 1);
}

std::vector<TokenId> BpeTokenizer::Encode(std::string_view text) const {
  RequireUtf8(text);
  std::vector<TokenId> ids;
  for (const TextSegment& segment : raw_.Split(text)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
    } else {
      EncodePiece(segment.text, segment.text.data() == text.data(), ids);
    }
  }
  return ids;
}

std::vector<TokenId> BpeTokenizer::EncodeWithSpecial(std::string_view text) const {
  if (!frame_) return Tokenizer::EncodeWithSpecial(text);
  std::vector<TokenId> ids = frame_->first;
  const std::vector<TokenId> inner = Encode(text);
  ids.insert(ids.end(), inner.begin(), inner.end());
  ids.insert(ids.end(), frame_->second.begin(), frame_->second.end());
  return ids;
}

void BpeTokenizer::EncodePiece(std::string_view text, bool first, std::vector<TokenId>& ids) const {
  const std::string changed =
      normalizer_.empty() ? std::string() : Normalize(normalizer_, std::string(text));
  if (!normalizer_.empty()) text = changed;
  for (const TextSegment& segment : normalized_.Split(text)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
    } else {
      EncodeWords(segment.text, first && segment.text.data() == text.data(), ids);
    }
  }
}

void BpeTokenizer::EncodeWords(std::string_view text, bool first, std::vector<TokenId>& ids) const {
  Words words;
  words.list.push_back({text, first});
  for (const auto& pre_tokenizer : pre_tokenizers_) pre_tokenizer->Apply(words);
  for (const Word& word : words.list) model_.Encode(word.text, ids);
}

std::string BpeTokenizer::Decode(std::span<const TokenId> ids, bool at_start) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const TokenId id : ids) {
    const auto found = surfaces_.find(id);
    if (found != surfaces_.end() && !found->second.special) tokens.push_back(found->second.token);
  }
  return decoder_.Decode(std::move(tokens), at_start);
}

std::string BpeTokenizer::Piece(TokenId id) const {
  const auto found = surfaces_.find(id);
  if (found == surfaces_.end()) return fmt::format("<{}>", id);
  return found->second.added ? found->second.token : decoder_.Show(found->second.token);
}

}  // namespace

std::string Normalize(const std::vector<NormalizeStep>& steps, std::string text) {
  for (const auto& [pattern, content] : steps) {
    if (pattern.empty()) {
      if (!text.empty()) text.insert(0, content);
      continue;
    }
    ReplaceAll(text, pattern, content);
  }
  return text;
}

std::unique_ptr<const Tokenizer> MakeBpeTokenizer(BpeTokenizerParts parts) {
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace pivotal::data
