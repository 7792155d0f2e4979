// Apache-2.0. The trunks of a rollout engine, and the blocks that they share with its rollouts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "data/progress.h"
#include "model/decoder.h"
#include "model/kv_blocks.h"
#include "model/policy.h"
#include "model/trunk_tree.h"

namespace pivotal::model {

// Trunks stay for later as long as nothing else needs their blocks.
class TrunkMemory {
 public:
  // Keys and values of trunks are computed by `decoder`, `pass` tokens at a time. What is computed and
  // what was there already is counted in `counters`. All outlive it.
  TrunkMemory(Decoder& decoder, int64_t blocks, int64_t pass, RolloutCounters& counters);

  KvBlocks& blocks() { return blocks_; }

  // Sets blocks aside, for which unused trunks go; false if there are not as many.
  bool Promise(int64_t count);

  // The place of `tokens`, held, with `more` blocks promised for what follows; nothing if there is no memory. Where
  // there is enough, all of `cover`, which begins with `tokens`, becomes a trunk.
  std::optional<TrunkPlace> Hold(std::span<const TokenId> tokens, std::span<const TokenId> cover, bool is_long,
                                 int64_t more);
  void Keep(Trunk* trunk) { trees_[0].Hold(trunk); }
  void Drop(Trunk* trunk) { trees_[0].Drop(trunk); }

  // Computes keys and values of these trunks, and of those before them, where they are missing. Throws
  // Interrupted on a stop request.
  void Prefill(std::span<Trunk* const> trunks, const Progress& progress);

 private:
  bool IsLong(const Trunk* trunk) const;

  Decoder& decoder_;
  KvBlocks blocks_;
  TrunkTree trees_[2];  // of the short kind, of the long kind
  int64_t pass_;
  RolloutCounters& counters_;
};

}  // namespace pivotal::model
