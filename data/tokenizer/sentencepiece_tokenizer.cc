// Apache-2.0.
#include <sentencepiece_processor.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "data/base/utf8.h"
#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/tokenizer_files.h"

namespace sentencepiece::logging {
void SetMinLogLevel(int level);  // exported by the library, declared in no installed header
}

namespace pivotal::data {
namespace {

uint32_t UnitAt(std::string_view bytes, std::size_t index) {
  uint32_t unit = 0;
  std::memcpy(&unit, bytes.data() + index * sizeof(unit), sizeof(unit));
  return unit;
}

// A precompiled_charsmap is a uint32 (the size of the trie in bytes), the trie, and replacements
// that end in '\0' each. The trie is a double array of uint32 units as in darts-clone
// (https://github.com/s-yata/darts-clone).

// Returns true if all 256 next bytes lead from any unit to a unit of the trie, and all values are
// offsets of replacements.
bool TrieIsSound(std::string_view trie, std::size_t replacements) {
  constexpr uint32_t kIsValue = uint32_t{1} << 31;
  const std::size_t count = trie.size() / sizeof(uint32_t);
  for (std::size_t i = 0; i < count; ++i) {
    const uint32_t unit = UnitAt(trie, i);
    if (unit & kIsValue) continue;
    const uint32_t offset = (unit >> 10) << ((unit & (1u << 9)) >> 6);
    const std::size_t next = i ^ offset;
    if ((next | 0xFF) >= count) return false;
    const bool has_value = (unit >> 8) & 1;
    if (has_value && (UnitAt(trie, next) & ~kIsValue) >= replacements) return false;
  }
  return count > 0;
}

bool CharsmapIsSound(std::string_view map) {
  if (map.empty()) return true;
  if (map.size() < sizeof(uint32_t)) return false;
  const std::size_t size = UnitAt(map, 0);
  map.remove_prefix(sizeof(uint32_t));
  if (size > map.size() || size % sizeof(uint32_t) != 0) return false;
  const std::string_view replacements = map.substr(size);
  return !replacements.empty() && replacements.back() == '\0' &&
         TrieIsSound(map.substr(0, size), replacements.size());
}

// Reads protobuf's wire format, field by field.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }
  // Reads the number of the next field and, if it is length-delimited, its content. Returns false
  // if the bytes are no protobuf.
  bool Next(uint32_t& field, std::string_view& bytes) {
    const std::optional<uint64_t> tag = Varint();
    if (!tag || *tag > UINT32_MAX) return false;
    field = static_cast<uint32_t>(*tag >> 3);
    bytes = {};
    switch (*tag & 7) {
      case 0: return Varint().has_value();
      case 1: return Take(8, bytes);
      case 2: {
        const std::optional<uint64_t> size = Varint();
        return size && Take(*size, bytes);
      }
      case 5: return Take(4, bytes);
      default:  // a group, which no tokenizer.model has
        return false;
    }
  }

 private:
  std::optional<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }
  bool Take(uint64_t size, std::string_view& bytes) {
    if (size > bytes_.size()) return false;
    bytes = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }

  std::string_view bytes_;
};

bool SpecIsSound(std::string_view spec) {
  constexpr uint32_t kCharsmap = 2;  // NormalizerSpec.precompiled_charsmap
  uint32_t field = 0;
  std::string_view bytes;
  for (FieldReader fields(spec); !fields.done();) {
    if (!fields.Next(field, bytes)) return false;
    if (field == kCharsmap && !CharsmapIsSound(bytes)) return false;
  }
  return true;
}

namespace fs = std::filesystem;
using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kBlank = "\u2581";  // how SentencePiece writes ' '
// Encodes ModelProto.normalizer_spec.add_dummy_prefix = false. Appended to a serialized model, it
// replaces the model's own value.
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
  // The text that an id stands for.
  struct Surface {
    Kind kind = Kind::kNothing;
    std::string text;    // printed by Decode(); one byte for kByte
    std::string name;    // shown by Piece()
    bool blank = false;  // begins with SentencePiece's blank
  };

  void FillSurfaces(const std::vector<AddedToken>& added);
  Surface SurfaceOf(int id) const;
  const Surface* Find(TokenId id) const;

  SentencePieceProcessor prefixed_;  // adds the leading blank if the model says so
  SentencePieceProcessor plain_;     // never adds the leading blank
  PrefixScheme prefix_ = PrefixScheme::kAlways;
  std::vector<Surface> pieces_;                       // by id of tokenizer.model
  std::unordered_map<TokenId, Surface> added_;        // override pieces_ and add further ids
  std::unique_ptr<const AddedTokenMatcher> matcher_;  // not null after construction
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
  // A piece of the model file may be no UTF-8, but printed text must be.
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

bool CharsmapsAreSound(std::string_view model) {
  constexpr uint32_t kNormalizer = 3, kDenormalizer = 5;
  uint32_t field = 0;
  std::string_view bytes;
  for (FieldReader fields(model); !fields.done();) {
    if (!fields.Next(field, bytes)) return false;
    if ((field == kNormalizer || field == kDenormalizer) && !SpecIsSound(bytes)) return false;
  }
  return true;
}

std::unique_ptr<const Tokenizer> LoadSentencePiece(const fs::path& folder) {
  static std::once_flag silenced;
  // The library would print errors that it also returns as a Status.
  std::call_once(silenced, [] { sentencepiece::logging::SetMinLogLevel(4); });
  return std::make_unique<SentencePieceTokenizer>(folder, ReadFile(folder / "tokenizer.model"));
}

}  // namespace pivotal::data
