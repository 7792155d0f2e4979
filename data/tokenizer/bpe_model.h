// Apache-2.0. Byte pair encoding (BPE), which turns words into token ids by merging pairs.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::data {

// Byte-level vocabularies (GPT-2) write each byte as a printable character: 'G' as 'G', a blank as
// "Ġ". Returns the character of `byte` as UTF-8.
std::string_view CharOfByte(unsigned char byte);

// Appends the bytes that the characters of `text` (UTF-8) stand for. Returns false, and appends
// nothing, if a character stands for no byte.
bool AppendBytesOf(std::string_view text, std::string& bytes);

// Maps a pair of ids to the rank of its merge and the id it becomes. A hash table with open
// addressing and 16 bytes per slot.
class PairTable {
 public:
  struct Merge {
    uint32_t rank = kNone;
    TokenId id = -1;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit PairTable(std::size_t pairs = 0);
  // Adds a merge, or replaces that of the same pair.
  void Add(TokenId left, TokenId right, Merge merge);
  // Returns rank kNone if the pair is not merged.
  Merge Find(TokenId left, TokenId right) const {
    const uint64_t key = Key(left, right);
    for (std::size_t i = Hash(key);; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].merge;
      if (slots_[i].key == kEmpty) return {};
    }
  }

 private:
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = UINT64_MAX;
  static uint64_t Key(TokenId left, TokenId right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  std::size_t Hash(uint64_t key) const {
    key *= 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(key ^ key >> 32) & mask_;
  }

  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
};

struct BpeMerge {
  TokenId left = -1, right = -1, result = -1;
  uint32_t rank = 0;  // lower ranks merge first
};

struct BpeSettings {
  bool byte_level = false;     // words are bytes; the vocabulary writes them as CharOfByte() does
  bool byte_fallback = false;  // a character without a token becomes its bytes "<0xE2>", ...
  bool fuse_unk = false;       // adjacent unknown characters become one unknown token
  bool ignore_merges = false;  // a word that is a token becomes it without any merge
  TokenId unk = -1;            // unknown token; if -1, unknown characters are dropped
};

// The model "BPE" of tokenizer.json and tiktoken. Immutable and thread-safe; each thread caches the
// words that it has encoded.
class BpeModel {
 public:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  // Maps tokens, as the file writes them, to ids.
  using Vocabulary = std::unordered_map<std::string, TokenId, TextHash, std::equal_to<>>;

  // All ids are >= 0.
  BpeModel(const BpeSettings& settings, const Vocabulary& vocabulary,
           const std::vector<BpeMerge>& merges);

  // Appends the ids of a word, which is bytes if byte_level and UTF-8 otherwise. Takes O(n log n)
  // steps for n bytes.
  void Encode(std::string_view word, std::vector<TokenId>& ids) const;

 private:
  static constexpr std::size_t kPage = 256;
  static constexpr char32_t kBlankMark = 0x2581;
  static constexpr std::size_t kCutClasses = 129;  // ASCII and kBlankMark

  void FindSymbols(const Vocabulary& vocabulary);
  void FindSeams(const Vocabulary& vocabulary, const std::vector<BpeMerge>& merges);
  TokenId IdOfChar(char32_t code) const {
    const int32_t page = pages_[code / kPage];
    return page < 0 ? -1 : char_ids_[static_cast<std::size_t>(page) * kPage + code % kPage];
  }
  bool MergesAcross(char32_t left, char32_t right) const;
  void EncodePart(std::string_view word, std::vector<TokenId>& ids) const;
  void EncodeAnew(std::string_view word, std::vector<TokenId>& ids) const;
  void AppendSymbols(std::string_view word, std::vector<TokenId>& symbols) const;
  void MergeShort(std::vector<TokenId>& symbols) const;
  void MergeLong(std::vector<TokenId>& symbols) const;

  BpeSettings settings_;
  PairTable pairs_;
  Vocabulary words_;               // all tokens, in bytes if byte_level; empty unless ignore_merges
  std::vector<int32_t> pages_;     // code point / kPage to a page of char_ids_; -1 if it has none
  std::vector<TokenId> char_ids_;  // pages of the ids of single characters
  std::array<TokenId, 256> byte_ids_{};  // ids of "<0x00>" to "<0xFF>"; -1 if absent
  bool has_all_bytes_ = false;
  // A word can be cut between two characters that no merge joins, so that its parts are short.
  bool cuts_ = false;                               // such cuts are possible
  std::vector<bool> seams_;                         // some merge joins two characters (by class)
  std::unordered_map<uint64_t, bool> other_seams_;  // all pairs of characters that a merge joins
  uint32_t number_ = 0;                             // identifies this instance in the word caches
};

}  // namespace pivotal::data
