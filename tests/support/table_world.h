// Apache-2.0. Worlds whose success probabilities are known: the next token depends on the last one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/table_policy.h"

namespace pivotal::testing {

class TableWorld {
 public:
  // moves[t]: what may follow token t (0: the end of a prompt), in ascending order, each larger than
  // t; nothing after a token that ends the response. `right` is the end token that succeeds, the
  // others fail. So p(success) after each token follows by dynamic programming.
  TableWorld(std::vector<std::vector<Move>> moves, TokenId right);

  std::span<const Move> Moves(TokenId last) const { return moves_[last]; }
  // p(success) of completions that follow `last`; the verdict itself for an end token.
  double Success(TokenId last) const { return success_[last]; }
  bool IsEnd(TokenId token) const { return moves_[token].empty(); }
  TokenId start() const { return 0; }

 private:
  std::vector<std::vector<Move>> moves_;
  std::vector<double> success_;
};

// The world outlives it.
class WorldPolicy : public TablePolicy {
 public:
  WorldPolicy(const TableWorld& world, uint64_t seed) : TablePolicy(seed), world_(world) {}

 protected:
  std::span<const Move> Moves(TokenId last) const override { return world_.Moves(last); }
  bool IsEnd(TokenId token) const override { return world_.IsEnd(token); }

 private:
  const TableWorld& world_;
};

}  // namespace pivotal::testing
