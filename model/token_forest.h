// Apache-2.0. Sequences that begin alike, each shared token once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "data/tokenizer.h"
#include "model/phi_config.h"

namespace pivotal::model {

// N tokens (nodes) in segments: unbranched stretches, a parent before its children. A token attends
// to its segment up to itself, and to the segments above.
struct TokenForest {
  struct Segment {
    int64_t length;
    int64_t parent;    // index of a segment before it; -1: begins a sequence
    int64_t depth;     // position of its first token
    int64_t sequence;  // tokens of a sequence through it, by which LongRoPE chooses its factors
  };
  at::Tensor tokens;  // [N] int64
  std::vector<Segment> segments;

  // Rows of `tokens` [B, T], which share nothing.
  static TokenForest Rows(const at::Tensor& tokens);
};

// Packs sequences into a forest. Sequences on both sides of LongRoPE's limit share nothing: their
// hidden states differ from the first token on.
class ForestBuilder {
 public:
  explicit ForestBuilder(RopeConfig rope) : rope_(std::move(rope)) {}

  // Adds the first tokens of a sequence that is `length` tokens long. Returns its index.
  int64_t Add(std::vector<TokenId> tokens, int64_t length);

  TokenForest Build(at::Device device);

  // After Build(): the node of token `column` of a sequence.
  int64_t Node(int64_t sequence, int64_t column) const;

 private:
  struct Sequence {
    std::vector<TokenId> tokens;
    int64_t length = 0;
    int64_t leaf = 0;  // the sequence whose path holds this one's tokens
    // Where its tokens stand: from column `first` on, nodes `node`, node + 1, ...
    struct Stretch {
      int64_t first, node;
    };
    std::vector<Stretch> path;
  };
  void Grow(std::span<const int64_t> leaves, int64_t depth, int64_t parent);

  RopeConfig rope_;
  std::vector<Sequence> sequences_;
  std::vector<TokenId> tokens_;
  std::vector<TokenForest::Segment> segments_;
};

}  // namespace pivotal::model
