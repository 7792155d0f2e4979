// Apache-2.0. Worlds: policies over token tables whose success probabilities are known exactly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/table_policy.h"

namespace pivotal::testing {

class TableWorld {
 public:
  // moves[t] lists the tokens that may follow token t, ascending and larger than t. Token 0 is the
  // end of a prompt. Tokens without moves end the response; it succeeds if it ends with `right`.
  // p(success) after each token follows by dynamic programming.
  TableWorld(std::vector<std::vector<Move>> moves, TokenId right);

  std::span<const Move> Moves(TokenId last) const { return moves_[last]; }
  // Returns p(success) of completions after `last`; for a token that ends the response, the
  // verdict.
  double Success(TokenId last) const { return success_[last]; }
  bool IsEnd(TokenId token) const { return moves_[token].empty(); }
  TokenId start() const { return 0; }

 private:
  std::vector<std::vector<Move>> moves_;
  std::vector<double> success_;
};

// The policy of a world. The world must outlive it.
class WorldPolicy : public TablePolicy {
 public:
  WorldPolicy(const TableWorld& world, uint64_t seed) : TablePolicy(seed), world_(world) {}

 protected:
  std::span<const Move> Moves(TokenId last) const override { return world_.Moves(last); }
  bool IsEnd(TokenId token) const override { return world_.IsEnd(token); }

 private:
  const TableWorld& world_;
};

struct DriftWorldOptions {
  int32_t length = 100;  // tokens of a response, EOS included
  double forks = 0.15;   // fraction of the positions at which two tokens are likely
  int32_t reach = 4;     // a fork changes the score by 1 to `reach`, up or down
  uint64_t seed = 1;
};

// Returns a world with long responses in which many tokens matter a little. A response has a score,
// which begins at 0. Most steps have one likely token, which keeps the score; at a fork one token
// raises it and another lowers it. A response succeeds if its score ends at 0 or above. So
// p(success) drifts in many small steps, and in larger ones near the end of a close response.
TableWorld DriftWorld(const DriftWorldOptions& options);

struct LaneWorldOptions {
  int32_t length = 100;  // tokens of a response, EOS included
  double forks = 0.15;   // fraction of the positions at which several tokens are likely
  double switches = 6;   // mean number of forks that choose between lanes; other forks choose words
  int32_t lanes = 4;     // courses that a response may take; responses in even lanes succeed
  uint64_t seed = 1;
};

// Returns a world with long responses in which few tokens matter. A response is in one of several
// lanes at each step. Most steps have one likely token. At a fork the policy chooses between words
// of the same meaning, or between lanes. The lane in which a response ends decides its verdict.
TableWorld LaneWorld(const LaneWorldOptions& options);

}  // namespace pivotal::testing
