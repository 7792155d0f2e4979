// Apache-2.0. A policy with long responses, few forks and known success probabilities.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/table_policy.h"

namespace pivotal::testing {

struct LaneWorldOptions {
  int32_t length = 100;       // tokens of a response, EOS included
  double forks = 0.15;        // share of the positions at which several tokens are likely
  double switches = 6;        // forks that choose between lanes, on average; the others choose words
  int32_t lanes = 4;          // courses that a solution may take; each succeeds with its own odds
  uint64_t seed = 1;
};

// A response walks from step to step in one of several lanes. Most steps have one likely token; at a
// fork the policy chooses between words that mean the same, or between lanes. The next token depends
// on the last one alone, so success probabilities follow exactly by dynamic programming. The lane in
// which a response ends decides its verdict by odds that the last token before EOS carries.
class LaneWorld {
 public:
  explicit LaneWorld(const LaneWorldOptions& options);

  // What may follow `last` (the start token for the end of a prompt), in ascending order of token.
  std::span<const Move> Moves(TokenId last) const;
  // p(success) of completions that follow `last`; the verdict itself for an end token.
  double Success(TokenId last) const { return success_[last]; }
  bool IsEnd(TokenId token) const { return moves_[token].empty(); }
  TokenId start() const { return 0; }

 private:
  std::vector<std::vector<Move>> moves_;
  std::vector<double> success_;
};

class LanePolicy : public TablePolicy {
 public:
  LanePolicy(const LaneWorld& world, uint64_t seed) : TablePolicy(seed), world_(world) {}

 protected:
  std::span<const Move> Moves(TokenId last) const override { return world_.Moves(last); }
  bool IsEnd(TokenId token) const override { return world_.IsEnd(token); }

 private:
  const LaneWorld& world_;
};

}  // namespace pivotal::testing
