// Apache-2.0. The tokenizer of Llama and Phi-3 folders: SentencePiece plus added tokens.
#include "data/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "data/added_tokens.h"
#include "data/charsmap_check.h"
#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"
#include "data/tokenizer_config.h"
#include "data/utf8.h"

namespace sentencepiece::logging {
void SetMinLogLevel(int level);  // exported by the library, declared in no installed header
}

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kBlank = "\u2581";  // how SentencePiece writes ' '
// ModelProto.normalizer_spec.add_dummy_prefix = false: protobuf merges what is appended.
constexpr std::string_view kNoDummyPrefix("\x1A\x02\x18\x00", 4);

std::string ReplaceBlanks(std::string text) {
  ReplaceAll(text, kBlank, " ");
  return text;
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  // `model` is the content of `folder`/tokenizer.model.
  SentencePieceTokenizer(const fs::path& folder, const std::string& model);

  std::vector<TokenId> Encode(std::string_view text) const override;
  std::string Decode(std::span<const TokenId> ids, bool at_start) const override;
  std::string Piece(TokenId id) const override;
  int32_t VocabSize() const override { return vocab_size_; }
  TokenId bos() const override { return bos_; }
  TokenId eos() const override { return eos_; }
  bool adds_bos() const override { return adds_bos_; }

 private:
  enum class Kind { kNothing, kText, kByte };
  // What an id stands for.
  struct Surface {
    Kind kind = Kind::kNothing;
    std::string text;    // printed; one byte for kByte
    std::string name;    // for display
    bool blank = false;  // begins with SentencePiece's blank
  };

  void FillSurfaces(const std::vector<AddedToken>& added);
  Surface SurfaceOf(int id) const;
  const Surface* Find(TokenId id) const;

  SentencePieceProcessor prefixed_;  // as the model says; adds the leading blank
  SentencePieceProcessor plain_;     // never adds it
  PrefixScheme prefix_ = PrefixScheme::kAlways;
  std::vector<Surface> pieces_;                       // of tokenizer.model
  std::unordered_map<TokenId, Surface> added_;        // override and follow them
  std::unique_ptr<const AddedTokenMatcher> matcher_;  // set by the constructor
  bool strips_blank_ = false;
  int32_t vocab_size_ = 0;
  TokenId bos_ = -1, eos_ = -1;
  bool adds_bos_ = false;
};

void Load(SentencePieceProcessor& processor, const std::string& model, const fs::path& path) {
  if (!CharsmapsAreSound(model)) Fail("{}: damaged; download it again", path.string());
  const sentencepiece::util::Status status = processor.LoadFromSerializedProto(model);
  if (!status.ok() || processor.GetPieceSize() <= 0) {
    Fail("{}: damaged, or no SentencePiece model: {}; download it again", path.string(),
         Quoted(status.message()));
  }
}

SentencePieceTokenizer::SentencePieceTokenizer(const fs::path& folder, const std::string& model) {
  const fs::path path = folder / "tokenizer.model";
  Load(prefixed_, model, path);
  Load(plain_, model + std::string(kNoDummyPrefix), path);
  std::vector<std::string> probe;
  strips_blank_ =
      prefixed_.Encode("a", &probe).ok() && !probe.empty() && probe.front().starts_with(kBlank);

  TokenizerConfig config = ReadTokenizerConfig(folder, kMaxVocabulary);
  FillSurfaces(config.added);
  const auto id_of = [&](const std::string& name) {
    const int id = prefixed_.PieceToId(name);
    return id < 0 || prefixed_.IsUnknown(id) ? -1 : id;
  };
  const auto resolve = [&](const TokenName& name, int usual, const char* key) {
    return ResolveToken(name, usual, config.added, id_of, folder, key, "tokenizer.model");
  };
  bos_ = resolve(config.bos, prefixed_.bos_id(), "bos_token");
  eos_ = resolve(config.eos, prefixed_.eos_id(), "eos_token");
  adds_bos_ = config.adds_bos && bos_ >= 0;
  prefix_ = config.prefix;
  matcher_ = std::make_unique<AddedTokenMatcher>(std::move(config.added));
}

SentencePieceTokenizer::Surface SentencePieceTokenizer::SurfaceOf(int id) const {
  const std::string& piece = prefixed_.IdToPiece(id);
  if (prefixed_.IsByte(id)) {
    unsigned value = 0;  // "<0x0A>"
    if (piece.size() == 6) value = static_cast<unsigned>(std::strtoul(&piece[3], nullptr, 16));
    return {Kind::kByte, std::string(1, static_cast<char>(value)), piece, false};
  }
  // The model file may hold anything; what is printed must be UTF-8.
  const std::string text = ReplaceInvalidUtf8(ReplaceBlanks(piece), Replacement::kPerByte);
  if (prefixed_.IsControl(id) || prefixed_.IsUnused(id)) return {Kind::kNothing, "", text, false};
  if (prefixed_.IsUnknown(id)) return {Kind::kText, " \u2047 ", text, false};
  return {Kind::kText, text, text, piece.starts_with(kBlank)};
}

void SentencePieceTokenizer::FillSurfaces(const std::vector<AddedToken>& added) {
  for (int id = 0; id < prefixed_.GetPieceSize(); ++id) pieces_.push_back(SurfaceOf(id));
  vocab_size_ = prefixed_.GetPieceSize();
  for (const AddedToken& token : added) {
    const bool in_model = token.id < prefixed_.GetPieceSize();
    const bool silent = token.special || (in_model && prefixed_.IsControl(token.id));
    added_[token.id] = {silent ? Kind::kNothing : Kind::kText, token.content, token.content, false};
    vocab_size_ = std::max(vocab_size_, token.id + 1);
  }
}

std::vector<TokenId> SentencePieceTokenizer::Encode(std::string_view text) const {
  RequireUtf8(text);
  std::vector<TokenId> ids;
  std::vector<int> piece_ids;
  for (const TextSegment& segment : matcher_->Split(text)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
      continue;
    }
    const bool prefixed = prefix_ == PrefixScheme::kAlways ||
                          (prefix_ == PrefixScheme::kFirst && segment.text.data() == text.data());
    const auto status = (prefixed ? prefixed_ : plain_).Encode(segment.text, &piece_ids);
    if (!status.ok()) Fail("SentencePiece can't encode the text: {}", Quoted(status.message()));
    ids.insert(ids.end(), piece_ids.begin(), piece_ids.end());
  }
  return ids;
}

const SentencePieceTokenizer::Surface* SentencePieceTokenizer::Find(TokenId id) const {
  if (const auto found = added_.find(id); found != added_.end()) return &found->second;
  const bool in_model = id >= 0 && static_cast<std::size_t>(id) < pieces_.size();
  return in_model ? &pieces_[static_cast<std::size_t>(id)] : nullptr;
}

std::string SentencePieceTokenizer::Decode(std::span<const TokenId> ids, bool at_start) const {
  std::string text, bytes;
  const auto flush = [&] {
    text += ReplaceInvalidUtf8(bytes, Replacement::kPerByte);
    bytes.clear();
  };
  for (const TokenId id : ids) {
    const Surface* surface = Find(id);
    if (surface == nullptr || surface->kind == Kind::kNothing) continue;
    if (surface->kind == Kind::kByte) {
      bytes += surface->text;
      continue;
    }
    flush();
    const bool strip = at_start && strips_blank_ && text.empty() && surface->blank;
    text.append(surface->text, strip ? 1 : 0, std::string::npos);
    if (strip) at_start = false;
  }
  flush();
  return text;
}

std::string SentencePieceTokenizer::Piece(TokenId id) const {
  const Surface* surface = Find(id);
  return surface != nullptr ? surface->name : fmt::format("<{}>", id);
}

}  // namespace

std::unique_ptr<const Tokenizer> LoadSentencePiece(const fs::path& folder) {
  static std::once_flag silenced;
  // Errors come back as a Status; the library would also print them.
  std::call_once(silenced, [] { sentencepiece::logging::SetMinLogLevel(4); });
  return std::make_unique<SentencePieceTokenizer>(folder, ReadFile(folder / "tokenizer.model"));
}

}  // namespace pivotal::data
