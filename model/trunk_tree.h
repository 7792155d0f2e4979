// Apache-2.0. Stretches of tokens whose keys and values are kept, for whatever goes on from them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "data/tokenizer.h"
#include "kernels/paged_attention.h"
#include "model/kv_blocks.h"

namespace pivotal::model {

// Tokens that continue another trunk, from any place in it.
struct Trunk {
  Trunk* parent = nullptr;
  int64_t depth = 0;            // tokens of the sequence before the first of these
  std::vector<TokenId> tokens;
  std::vector<int32_t> blocks;  // of these tokens
  int64_t prefilled = 0;        // of these tokens, those that have keys and values
  int64_t users = 0;            // children, and whoever holds it
  uint64_t last_use = 0;
  std::map<std::pair<int64_t, TokenId>, std::unique_ptr<Trunk>> children;  // by depth and first token

  int64_t end() const { return depth + static_cast<int64_t>(tokens.size()); }
  // The trunk of token `length` - 1 of the sequence that ends here: this one or one before.
  const Trunk& At(int64_t length) const;
  // The first `length` tokens of the sequence, depth < length <= end(), as attention reads them.
  std::vector<kernels::KvPiece> Pieces(int64_t length) const;
};

// A place in a trunk: the first `length` tokens of a sequence that ends there.
struct TrunkPlace {
  Trunk* trunk;
  int64_t length;
};

// All trunks of one kind: with LongRoPE, sequences of the long kind have a tree of their own. A trunk that
// nobody uses stays for later, until its blocks are needed.
class TrunkTree {
 public:
  explicit TrunkTree(KvBlocks& blocks) : blocks_(blocks) {}
  ~TrunkTree();

  // The longest beginning of `tokens` that is there, prefilled or not.
  TrunkPlace Find(std::span<const TokenId> tokens);
  // Blocks that Add() would take.
  int64_t Missing(std::span<const TokenId> tokens);
  // The place of all of `tokens`, not empty; what is missing is a new trunk, whose blocks have been promised.
  TrunkPlace Add(std::span<const TokenId> tokens);

  // A trunk that is held stays where it is.
  void Hold(Trunk* trunk);
  void Drop(Trunk* trunk);

  const Trunk* root() const { return &root_; }

  // Lets the trunk go that was unused for longest; false if all are in use.
  bool EvictOne();

 private:
  Trunk root_;
  KvBlocks& blocks_;
  uint64_t clock_ = 0;
};

}  // namespace pivotal::model
