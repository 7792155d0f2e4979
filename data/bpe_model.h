// Apache-2.0. Byte pair encoding: words to token ids by merges.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::data {

// Pairs of ids to their rank and the id they become: open addressing, 16 bytes a slot.
class PairTable {
 public:
  struct Merge {
    uint32_t rank = kNone;
    TokenId id = -1;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  explicit PairTable(std::size_t pairs = 0);
  // The last of several merges of one pair counts.
  void Add(TokenId left, TokenId right, Merge merge);
  // rank kNone if the pair is not merged.
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
  uint32_t rank = 0;  // lower goes first
};

struct BpeSettings {
  bool byte_level = false;     // words are bytes, tokens are written in the byte alphabet
  bool byte_fallback = false;  // a character without a token becomes "<0xE2>", ...
  bool fuse_unk = false;       // neighbours among unknown characters are one unknown token
  bool ignore_merges = false;  // a word that is a token needs no merges
  TokenId unk = -1;            // -1: unknown characters vanish
};

// The model "BPE" of tokenizer.json, and tiktoken's. Immutable and thread-safe: what it remembers
// of words it has seen is kept for each thread.
class BpeModel {
 public:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  // Tokens as the file writes them.
  using Vocabulary = std::unordered_map<std::string, TokenId, TextHash, std::equal_to<>>;

  // All ids are >= 0. The tokens of `bytes` (byte-level: without the alphabet) to their ids.
  BpeModel(const BpeSettings& settings, const Vocabulary& vocabulary,
           const std::vector<BpeMerge>& merges);

  // Appends the ids of a word: bytes if byte_level, else UTF-8. O(n log n) in its length.
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
  Vocabulary words_;  // where merges are ignored; byte-level: without the alphabet
  std::vector<int32_t> pages_;     // of characters, to places in char_ids_
  std::vector<TokenId> char_ids_;  // of single characters
  std::array<TokenId, 256> byte_ids_{};           // byte-level: of bytes; else of "<0x00>", ...
  bool has_all_bytes_ = false;
  // Where no merge joins two characters, a text can be cut between them: the parts are short.
  bool cuts_ = false;
  std::vector<bool> seams_;                         // of two cut classes: some merge joins them
  std::unordered_map<uint64_t, bool> other_seams_;  // pairs of other characters that are joined
  uint32_t number_ = 0;                             // tells instances apart in the memory of words
};

}  // namespace pivotal::data
