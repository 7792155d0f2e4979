// Apache-2.0. A cache of the keys and values of prefixes, which rollouts share.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "kernels/paged_attention.h"
#include "model/decoder.h"
#include "pivotal/policy.h"
#include "pivotal/progress.h"
#include "pivotal/tokenizer.h"

namespace pivotal::model {

// Allocates block indices; owns no memory. A block holds the keys and values of
// kernels::kBlockTokens tokens, in the memory of a Decoder. A caller reserves blocks before it
// takes them, so taking a block never fails.
class KvBlocks {
 public:
  explicit KvBlocks(int64_t capacity) : capacity_(capacity) {}

  // Returns the number of blocks that hold `tokens` tokens.
  static int64_t CountFor(int64_t tokens) {
    return (tokens + kernels::kBlockTokens - 1) / kernels::kBlockTokens;
  }

  // Reserves `count` blocks. Returns false, and reserves none, if fewer are available.
  bool Reserve(int64_t count);
  // Cancels the reservation of `count` blocks that were not taken.
  void Unreserve(int64_t count) { reserved_ -= count; }
  // Returns a reserved block: the lowest free index, so that blocks of a sequence lie together.
  int32_t Take();
  // Frees `blocks` and clears the vector.
  void Free(std::vector<int32_t>& blocks);

 private:
  int64_t capacity_, reserved_ = 0, taken_ = 0;
  int32_t first_untouched_ = 0;  // the first block that was never taken
  std::set<int32_t> free_;       // freed blocks, all below first_untouched_
};

// A run of tokens whose keys and values are kept. Trunks form a tree: a trunk continues its parent
// after any of the parent's tokens. A root has no tokens.
struct Trunk {
  Trunk* parent = nullptr;
  bool is_long = false;  // computed under LongRoPE's long factors
  int64_t depth = 0;     // tokens of the sequence before this trunk's first token
  std::vector<TokenId> tokens;
  std::vector<int32_t> blocks;  // hold the keys and values of `tokens`
  int64_t prefilled = 0;        // leading tokens whose keys and values are computed
  int64_t users = 0;            // children and holders; an unused trunk may be evicted
  uint64_t last_use = 0;        // time on the clock of TrunkCache
  // Continuations, by depth and first token.
  std::map<std::pair<int64_t, TokenId>, std::unique_ptr<Trunk>> children;

  // Returns the number of tokens of the sequence up to this trunk's last token.
  int64_t end() const { return depth + static_cast<int64_t>(tokens.size()); }
  // Returns the trunk that holds token `length` - 1 of the sequence: this trunk or an ancestor.
  const Trunk& At(int64_t length) const;
  // Returns the blocks of the first `length` tokens of the sequence, as attention reads them.
  // depth < length <= end().
  std::vector<kernels::KvPiece> Pieces(int64_t length) const;
};

// A position in a trunk: the first `length` tokens of its sequence.
struct TrunkPlace {
  Trunk* trunk;
  int64_t length;
};

// The trunks of one rollout engine. A trunk without users stays until its blocks are needed; the
// least recently used trunk goes first. With LongRoPE, long sequences have a tree of their own,
// because their keys differ from the first token on.
class TrunkCache {
 public:
  // `decoder` computes keys and values, at most `prefill_tokens` at once, in `blocks` blocks.
  // `counters` receives the numbers of computed and reused tokens. References must outlive the
  // cache.
  TrunkCache(Decoder& decoder, int64_t blocks, int64_t prefill_tokens, RolloutCounters& counters);

  KvBlocks& blocks() { return blocks_; }

  // Reserves blocks, evicting trunks without users where needed. Returns false if too few remain.
  bool Reserve(int64_t count);

  // Finds or adds the trunk of `tokens` (not empty), holds it, and reserves `more` blocks. If
  // memory suffices, adds all of `cover`, which begins with `tokens`, so that later calls share it.
  // Returns nothing if memory is short.
  std::optional<TrunkPlace> HoldPrefix(std::span<const TokenId> tokens,
                                       std::span<const TokenId> cover, bool is_long, int64_t more);
  // Keeps a trunk from eviction, once more.
  void Hold(Trunk* trunk) { ++trunk->users; }
  // Ends one hold.
  void Drop(Trunk* trunk);

  // Computes the missing keys and values of `trunks` and their ancestors. Throws Interrupted on a
  // stop request.
  void Prefill(std::span<Trunk* const> trunks, const Progress& progress);

 private:
  Trunk& Root(bool is_long) { return roots_[is_long ? 1 : 0]; }
  // Returns the longest cached beginning of `tokens`, computed or not.
  static TrunkPlace Find(Trunk& root, std::span<const TokenId> tokens);
  // Adds what is missing of `tokens` as a new trunk, in reserved blocks.
  void Add(Trunk& root, std::span<const TokenId> tokens);
  // Removes the least recently used trunk. Returns false if all trunks have users.
  bool EvictOne();

  Decoder& decoder_;
  KvBlocks blocks_;
  Trunk roots_[2];  // of short sequences, of long sequences
  uint64_t clock_ = 0;
  int64_t prefill_tokens_;
  RolloutCounters& counters_;
};

}  // namespace pivotal::model
