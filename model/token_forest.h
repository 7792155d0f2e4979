// Apache-2.0. Sequences packed into a forest, so that shared prefixes are computed once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "model/phi_config.h"
#include "pivotal/tokenizer.h"

namespace pivotal::model {

// N tokens (nodes), one segment after another. A segment is a run of tokens without a branch; it
// comes after its parent. A token attends to its segment up to itself, and to all ancestors.
struct TokenForest {
  struct Segment {
    int64_t length;
    int64_t parent;    // index of the parent segment; -1 for the beginning of sequences
    int64_t depth;     // position of the first token in its sequence
    int64_t sequence;  // length of a sequence through the segment, for LongRoPE's choice of factors
  };
  at::Tensor tokens;  // [N] int64
  std::vector<Segment> segments;

  // Makes a forest of the rows of `tokens` [B, T], without sharing.
  static TokenForest Rows(const at::Tensor& tokens);
};

// Packs sequences into a forest. Sequences on different sides of LongRoPE's limit are not shared,
// because their hidden states differ from the first token on.
class ForestBuilder {
 public:
  explicit ForestBuilder(RopeConfig rope) : rope_(std::move(rope)) {}

  // Adds `tokens`, the beginning of a sequence of `length` tokens. Returns the sequence's index.
  int64_t Add(std::vector<TokenId> tokens, int64_t length);

  TokenForest Build(at::Device device);

  // Returns the node of token `column` of a sequence, after Build().
  int64_t Node(int64_t sequence, int64_t column) const;

 private:
  struct Sequence {
    std::vector<TokenId> tokens;
    int64_t length = 0;
    int64_t leaf = 0;  // index of the sequence that begins with this one and whose path serves both
    // Tokens `first`, first + 1, ... are nodes `node`, node + 1, ...
    struct Run {
      int64_t first, node;
    };
    std::vector<Run> path;
  };
  // Adds segments for the tokens from `depth` on of `leaves`, which are sorted and equal before
  // `depth`.
  void Grow(std::span<const int64_t> leaves, int64_t depth, int64_t parent);

  RopeConfig rope_;
  std::vector<Sequence> sequences_;
  std::vector<TokenId> tokens_;
  std::vector<TokenForest::Segment> segments_;
};

}  // namespace pivotal::model
