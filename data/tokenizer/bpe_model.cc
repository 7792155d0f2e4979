// Apache-2.0.
#include "data/tokenizer/bpe_model.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <queue>

#include "data/base/error.h"
#include "data/base/utf8.h"

namespace pivotal::data {
namespace {

// bytes_to_unicode of GPT-2: bytes that print in Latin-1 stand for themselves, the others are
// numbered from U+0100 on.
struct Alphabet {
  std::array<std::string, 256> text;
  std::array<int16_t, 0x200> byte_of{};

  Alphabet() {
    byte_of.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
      const char32_t code = prints ? byte : next++;
      byte_of[code] = static_cast<int16_t>(byte);
      if (code < 0x80) {
        text[byte] = static_cast<char>(code);
      } else {
        text[byte] = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
      }
    }
  }
};

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

constexpr std::size_t kShort = 48;  // up to this many symbols a scan is faster than a heap

// Caches the ids of the words that a thread has encoded: one slot per hash, which holds the last
// word. Takes 1 MiB.
class WordCache {
 public:
  static constexpr std::size_t kMaxBytes = 23, kMaxIds = 7;

  struct Key {
    std::array<uint64_t, 3> bytes{};  // the word, zeros, and its length in the last byte
    bool operator==(const Key&) const = default;
  };
  struct Slot {
    Key key;
    uint32_t owner = 0;  // number of the BpeModel; 0 if empty
    uint32_t count = 0;
    std::array<TokenId, kMaxIds> ids{};
  };

  WordCache() : slots_(kSlots) {}

  static Key KeyOf(std::string_view word) {
    Key key;
    std::memcpy(key.bytes.data(), word.data(), word.size());
    reinterpret_cast<unsigned char*>(key.bytes.data())[kMaxBytes] =
        static_cast<unsigned char>(word.size());
    return key;
  }
  Slot& At(const Key& key, uint32_t owner) {
    uint64_t hash = (key.bytes[0] ^ owner) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 32 ^ key.bytes[1]) * 0xC2B2AE3D27D4EB4Fu;
    hash = (hash ^ hash >> 29 ^ key.bytes[2]) * 0x165667B19E3779F9u;
    return slots_[(hash ^ hash >> 32) & (kSlots - 1)];
  }

 private:
  static constexpr std::size_t kSlots = 1 << 14;
  std::vector<Slot> slots_;
};

WordCache& CacheOfThread() {
  thread_local WordCache cache;
  return cache;
}

uint64_t SeamKey(char32_t left, char32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

char32_t LastChar(std::string_view text) {
  std::size_t at = text.size() - 1;
  while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return ReadUtf8(text, at).code;
}

}  // namespace

std::string_view CharOfByte(unsigned char byte) { return TheAlphabet().text[byte]; }

bool AppendBytesOf(std::string_view text, std::string& bytes) {
  const std::size_t size = bytes.size();
  for (std::size_t i = 0; i < text.size();) {
    const auto [code, length] = ReadUtf8(text, i);
    const int byte = code < 0x200 ? TheAlphabet().byte_of[code] : -1;
    if (byte < 0) {
      bytes.resize(size);
      return false;
    }
    bytes += static_cast<char>(byte);
    i += length;
  }
  return true;
}

PairTable::PairTable(std::size_t pairs)
    : slots_(std::bit_ceil(2 * pairs + 2)), mask_(slots_.size() - 1) {}

void PairTable::Add(TokenId left, TokenId right, Merge merge) {
  const uint64_t key = Key(left, right);
  std::size_t i = Hash(key);
  while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & mask_;
  slots_[i] = {key, merge};
}

BpeModel::BpeModel(const BpeSettings& settings, const Vocabulary& vocabulary,
                   const std::vector<BpeMerge>& merges)
    : settings_(settings), pairs_(merges.size()), pages_(0x110000 / kPage, -1) {
  static std::atomic<uint32_t> instances = 0;
  number_ = ++instances;
  for (const BpeMerge& merge : merges) {
    pairs_.Add(merge.left, merge.right, {merge.rank, merge.result});
  }
  FindSymbols(vocabulary);
  if (!settings_.byte_level && !settings_.ignore_merges) FindSeams(vocabulary, merges);
  if (!settings_.ignore_merges) return;
  for (const auto& [token, id] : vocabulary) {
    std::string bytes;
    if (!settings_.byte_level) {
      words_.emplace(token, id);
    } else if (AppendBytesOf(token, bytes)) {
      words_.emplace(std::move(bytes), id);
    }
  }
}

void BpeModel::FindSymbols(const Vocabulary& vocabulary) {
  for (const auto& [token, id] : vocabulary) {
    if (token.empty()) continue;
    const auto [code, length] = ReadUtf8(token, 0);
    if (length != token.size()) continue;
    int32_t& page = pages_[code / kPage];
    if (page < 0) {
      page = static_cast<int32_t>(char_ids_.size() / kPage);
      char_ids_.resize(char_ids_.size() + kPage, -1);
    }
    char_ids_[static_cast<std::size_t>(page) * kPage + code % kPage] = id;
  }
  byte_ids_.fill(-1);
  if (settings_.byte_fallback) {
    has_all_bytes_ = true;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto found = vocabulary.find(fmt::format("<0x{:02X}>", byte));
      if (found != vocabulary.end()) byte_ids_[byte] = found->second;
      has_all_bytes_ = has_all_bytes_ && found != vocabulary.end();
    }
  }
}

// Finds the pairs of characters between which no word may be cut. Cuts are possible only if each
// symbol is a character, or a byte token that no merge uses.
void BpeModel::FindSeams(const Vocabulary& vocabulary, const std::vector<BpeMerge>& merges) {
  if (!has_all_bytes_) return;
  std::unordered_map<TokenId, std::string_view> token_of;
  for (const auto& [token, id] : vocabulary) token_of[id] = token;
  seams_.assign(kCutClasses * kCutClasses, false);
  for (const BpeMerge& merge : merges) {
    for (const TokenId id : {merge.left, merge.right}) {
      if (std::find(byte_ids_.begin(), byte_ids_.end(), id) != byte_ids_.end()) return;
      if (token_of[id].empty()) return;
    }
    const char32_t left = LastChar(token_of[merge.left]);
    const char32_t right = ReadUtf8(token_of[merge.right], 0).code;
    other_seams_.emplace(SeamKey(left, right), true);
  }
  const auto char_of = [](std::size_t c) {
    return c == kCutClasses - 1 ? kBlankMark : static_cast<char32_t>(c);
  };
  for (std::size_t left = 0; left < kCutClasses; ++left) {
    for (std::size_t right = 0; right < kCutClasses; ++right) {
      seams_[left * kCutClasses + right] =
          other_seams_.contains(SeamKey(char_of(left), char_of(right)));
    }
  }
  cuts_ = true;
}

bool BpeModel::MergesAcross(char32_t left, char32_t right) const {
  const auto class_of = [](char32_t code) -> std::size_t {
    return code < 0x80 ? code : code == kBlankMark ? kCutClasses - 1 : kCutClasses;
  };
  const std::size_t a = class_of(left), b = class_of(right);
  if (a < kCutClasses && b < kCutClasses) return seams_[a * kCutClasses + b];
  return other_seams_.contains(SeamKey(left, right));
}

void BpeModel::Encode(std::string_view word, std::vector<TokenId>& ids) const {
  if (!cuts_) return EncodePart(word, ids);
  std::size_t begin = 0;
  char32_t previous = 0;
  for (std::size_t at = 0; at < word.size();) {
    const auto [code, length] = ReadUtf8(word, at);
    if (at > begin && !MergesAcross(previous, code)) {
      EncodePart(word.substr(begin, at - begin), ids);
      begin = at;
    }
    previous = code;
    at += length;
  }
  EncodePart(word.substr(begin), ids);
}

void BpeModel::EncodePart(std::string_view word, std::vector<TokenId>& ids) const {
  if (word.empty()) return;
  if (word.size() > WordCache::kMaxBytes) return EncodeAnew(word, ids);
  const WordCache::Key key = WordCache::KeyOf(word);
  WordCache::Slot& slot = CacheOfThread().At(key, number_);
  if (slot.owner == number_ && slot.key == key) {
    ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.count);
    return;
  }
  const std::size_t before = ids.size();
  EncodeAnew(word, ids);
  const std::size_t count = ids.size() - before;
  if (count > WordCache::kMaxIds) return;
  slot.key = key;
  slot.owner = number_;
  slot.count = static_cast<uint32_t>(count);
  std::copy(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), slot.ids.begin());
}

void BpeModel::EncodeAnew(std::string_view word, std::vector<TokenId>& ids) const {
  if (settings_.ignore_merges) {
    if (const auto found = words_.find(word); found != words_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  std::vector<TokenId> symbols;
  symbols.reserve(word.size());
  AppendSymbols(word, symbols);
  if (symbols.size() <= kShort) {
    MergeShort(symbols);
  } else {
    MergeLong(symbols);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

// Follows BPE::merge_word of Hugging Face tokenizers, where byte tokens come before an unknown
// token that waits to be fused.
void BpeModel::AppendSymbols(std::string_view word, std::vector<TokenId>& symbols) const {
  bool unknown = false;  // an unknown token waits to be appended
  const auto flush = [&] {
    if (unknown) symbols.push_back(settings_.unk);
    unknown = false;
  };
  const auto add = [&](std::string_view character, char32_t code) {
    if (const TokenId id = IdOfChar(code); id >= 0) {
      flush();
      symbols.push_back(id);
      return;
    }
    if (settings_.byte_fallback) {
      const auto id_of = [&](char c) { return byte_ids_[static_cast<unsigned char>(c)]; };
      if (std::all_of(character.begin(), character.end(), [&](char c) { return id_of(c) >= 0; })) {
        for (const char c : character) symbols.push_back(id_of(c));
        return;
      }
    }
    if (settings_.unk < 0) return;
    if (!settings_.fuse_unk) flush();
    unknown = true;
  };
  if (settings_.byte_level) {
    for (const char byte : word) {
      const std::string_view character = CharOfByte(static_cast<unsigned char>(byte));
      add(character, ReadUtf8(character, 0).code);
    }
  } else {
    for (std::size_t at = 0; at < word.size();) {
      const auto [code, length] = ReadUtf8(word, at);
      add(word.substr(at, length), code);
      at += length;
    }
  }
  flush();
}

void BpeModel::MergeShort(std::vector<TokenId>& symbols) const {
  std::array<PairTable::Merge, kShort> merges;  // of each symbol with its successor
  std::size_t count = symbols.size();
  const auto look_up = [&](std::size_t i) {
    merges[i] = i + 1 < count ? pairs_.Find(symbols[i], symbols[i + 1]) : PairTable::Merge();
  };
  for (std::size_t i = 0; i < count; ++i) look_up(i);
  while (count > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == PairTable::kNone) break;
    symbols[best] = merges[best].id;
    --count;
    for (std::size_t i = best + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1];
    }
    look_up(best);
    if (best > 0) look_up(best - 1);
  }
  symbols.resize(count);
}

void BpeModel::MergeLong(std::vector<TokenId>& symbols) const {
  constexpr uint32_t kGone = UINT32_MAX;
  const auto count = static_cast<uint32_t>(symbols.size());
  std::vector<uint32_t> previous(count), next(count);
  std::vector<PairTable::Merge> merges(count);  // of each symbol with its successor
  std::vector<uint64_t> entries;  // rank << 32 | index: lowest rank first, then leftmost
  entries.reserve(count);
  const auto look_up = [&](uint32_t at) {
    merges[at] =
        next[at] < count ? pairs_.Find(symbols[at], symbols[next[at]]) : PairTable::Merge();
    return merges[at].rank != PairTable::kNone;
  };
  const auto entry = [&](uint32_t at) { return uint64_t{merges[at].rank} << 32 | at; };
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i - 1;  // kGone for the first
    next[i] = i + 1;
    if (look_up(i)) entries.push_back(entry(i));
  }
  std::priority_queue queue(std::greater<uint64_t>(), std::move(entries));
  while (!queue.empty()) {
    const auto at = static_cast<uint32_t>(queue.top());
    const auto rank = static_cast<uint32_t>(queue.top() >> 32);
    queue.pop();
    if (merges[at].rank != rank) continue;  // the entry is out of date
    symbols[at] = merges[at].id;
    const uint32_t gone = next[at];
    merges[gone] = {};
    next[at] = next[gone];
    next[gone] = kGone;
    if (next[at] < count) previous[next[at]] = at;
    if (look_up(at)) queue.push(entry(at));
    if (previous[at] != kGone && look_up(previous[at])) queue.push(entry(previous[at]));
  }
  std::size_t kept = 0;
  for (uint32_t at = 0; at < count; at = next[at]) symbols[kept++] = symbols[at];
  symbols.resize(kept);
}

}  // namespace pivotal::data
