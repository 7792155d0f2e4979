// Apache-2.0.
#include "data/tokenizer/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "data/base/text.h"
#include "data/base/utf8.h"
#include "data/tokenizer/bpe_model.h"

namespace pivotal::data {
namespace {

using Tokens = std::vector<std::string>;

// Returns 10 for "<0x0A>", and -1 for tokens of another form.
int ByteOf(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int value = -1;
  const char* end = token.data() + 5;
  const auto result = std::from_chars(token.data() + 3, end, value, 16);
  return result.ec == std::errc() && result.ptr == end && value >= 0 ? value : -1;
}

// Replaces each run of byte tokens by its text, or by one U+FFFD per byte if the run as a whole is
// not UTF-8.
void JoinBytes(Tokens& tokens) {
  Tokens joined;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (FindInvalidUtf8(bytes) == std::string_view::npos) {
      joined.push_back(bytes);
    } else {
      joined.insert(joined.end(), bytes.size(), "\uFFFD");
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const int byte = ByteOf(token); byte >= 0) {
      bytes += static_cast<char>(byte);
      continue;
    }
    flush();
    joined.push_back(std::move(token));
  }
  flush();
  tokens = std::move(joined);
}

std::string Joined(const Tokens& tokens, std::string_view between = "") {
  std::string text;
  for (const std::string& token : tokens) {
    if (&token != tokens.data()) text += between;
    text += token;
  }
  return text;
}

void Strip(std::string& token, const DecodeStep& step, bool front) {
  std::string_view rest = token;
  for (std::size_t i = 0; front && i < step.start && rest.starts_with(step.content); ++i) {
    rest.remove_prefix(step.content.size());
  }
  for (std::size_t i = 0; i < step.stop && rest.ends_with(step.content); ++i) {
    rest.remove_suffix(step.content.size());
  }
  token = std::string(rest);
}

void Unspace(Tokens& tokens, const DecodeStep& step, bool at_start) {
  for (std::string& token : tokens) {
    const bool drop = at_start && step.prepends && &token == tokens.data();
    ReplaceAll(token, step.pattern, drop ? "" : " ");
  }
}

// Joins tokens to text as the decoders of Hugging Face tokenizers do, step by step.
class PieceDecoder {
 public:
  explicit PieceDecoder(std::vector<DecodeStep> steps) : steps_(std::move(steps)) {}

  // Returns the text of `tokens`; as UTF-8 if they are. Unless `at_start`, the steps that remove
  // the blank in front (Metaspace, and Strip after Fuse) keep it.
  std::string Decode(Tokens tokens, bool at_start) const;

  // Returns a token as people read it: blanks as ' ', bytes that are no text as "<0x0A>".
  std::string Show(std::string token) const;

 private:
  std::vector<DecodeStep> steps_;
};

std::string PieceDecoder::Decode(Tokens tokens, bool at_start) const {
  if (steps_.empty()) return Joined(tokens, " ");
  bool fused = false;
  for (const DecodeStep& step : steps_) {
    switch (step.kind) {
      case DecodeStep::Kind::kReplace:
        for (std::string& token : tokens) ReplaceAll(token, step.pattern, step.content);
        break;
      case DecodeStep::Kind::kByteFallback: JoinBytes(tokens); break;
      case DecodeStep::Kind::kFuse:
        tokens = {Joined(tokens)};
        fused = true;
        break;
      case DecodeStep::Kind::kStrip:
        for (std::string& token : tokens) Strip(token, step, at_start || !fused);
        break;
      case DecodeStep::Kind::kMetaspace: Unspace(tokens, step, at_start); break;
      case DecodeStep::Kind::kByteLevel: {
        std::string bytes;
        for (const std::string& token : tokens) {
          if (!AppendBytesOf(token, bytes)) bytes += token;
        }
        tokens = {ReplaceInvalidUtf8(bytes, Replacement::kPerSubpart)};
        fused = true;
        break;
      }
    }
  }
  return Joined(tokens);
}

std::string PieceDecoder::Show(std::string token) const {
  if (ByteOf(token) >= 0) return token;
  std::string bytes;
  for (const DecodeStep& step : steps_) {
    if (step.kind == DecodeStep::Kind::kReplace) ReplaceAll(token, step.pattern, step.content);
    if (step.kind == DecodeStep::Kind::kMetaspace) ReplaceAll(token, step.pattern, " ");
    if (step.kind == DecodeStep::Kind::kByteLevel && AppendBytesOf(token, bytes)) token = bytes;
  }
  std::string shown;
  for (std::size_t i = 0; i < token.size();) {
    const std::size_t length = Utf8LengthAt(token, i);
    const auto byte = static_cast<unsigned char>(token[i]);
    if (length == 0 || byte < 0x20 || byte == 0x7F) {
      shown += fmt::format("<0x{:02X}>", byte);
    } else {
      shown.append(token, i, length);
    }
    i += std::max<std::size_t>(length, 1);
  }
  return shown;
}

// Applies the normalizers to `text`.
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

// Returns the added tokens that are searched in the normalized text, or those in the raw text.
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
    std::string token;     // input of the decoder
    bool added = false;    // Piece() shows it by name
    bool special = false;  // prints nothing
  };

  // Appends the ids of a piece of the raw text that holds no added token. `first` is true if it
  // begins the text.
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
    // A token that is searched in the normalized text is decoded in its normalized form.
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

std::unique_ptr<const Tokenizer> MakeBpeTokenizer(BpeTokenizerParts parts) {
  return std::make_unique<BpeTokenizer>(std::move(parts));
}

}  // namespace pivotal::data
