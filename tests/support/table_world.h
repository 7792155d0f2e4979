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
  // -1: a response ends in "right" or "wrong". Otherwise each lane ends in an answer of its own,
  // a token, and responses in lane `answer` succeed. The other draws are the same.
  int32_t answer = -1;
};

// Returns a world with long responses in which few tokens matter. A response is in one of several
// lanes at each step. Most steps have one likely token. At a fork the policy chooses between words
// of the same meaning, or between lanes. The lane in which a response ends decides its verdict.
TableWorld LaneWorld(const LaneWorldOptions& options);

// Returns the token in which the responses in a lane end, if each lane has an answer of its own.
TokenId AnswerOfLane(const LaneWorldOptions& options, int32_t lane);

struct RareWorldOptions {
  int32_t length = 100;              // tokens of a response, EOS included
  double forks = 0.15;               // fraction of the positions at which several words are likely
  double least = 0.01, most = 0.08;  // probabilities of the rare tokens that matter
  uint64_t seed = 1;
};

// Returns a world in which rare tokens matter much. A response is in a good or a bad state. The
// usual forks choose between words, and a few early ones between the states. In the first half
// 2 to 4 places have a rare token that makes a bad response good; in the second half 2 to 6 places
// have one that makes a good response bad. Whoever weighs late places too much, or early ones,
// estimates p(success) of the prompt too low or too high.
TableWorld RareWorld(const RareWorldOptions& options);

struct StrategyWorldOptions {
  int32_t length = 100;  // tokens of a response, EOS included
  double forks = 0.15;   // fraction of the positions at which several words are likely
  int32_t strategies = 4;
  uint64_t seed = 1;
};

// Returns a world in which a response chooses a strategy in its first tenth. Each strategy has 2 to
// 8 places of its own at which a response slips, and 1 to 4 at which one that has slipped may
// recover. It holds to the end with a probability between 0.1 and 0.95, were it not for recoveries.
// A response on its way succeeds with probability 0.97, one that has slipped and not recovered with
// 0.02.
TableWorld StrategyWorld(const StrategyWorldOptions& options);

struct AlternativesWorldOptions {
  int32_t length = 100;           // tokens of a response, EOS included
  double forks = 0.15;            // fraction of the positions that are forks
  int32_t least = 20, most = 50;  // alternatives of a fork
  double consequential = 6;       // mean number of forks at which a few alternatives matter
  int32_t lanes = 3;              // courses that a response may take; lane 0 succeeds mostly
  uint64_t seed = 1;
};

// Returns a world whose forks have many alternatives. The probability of the alternative of rank r
// is in proportion to (r + 1)^-a with a of 0.7 to 1.6 (heavy tails). At some forks one to four
// alternatives lead to another lane, half of them among the five most likely ones; all others are
// words of the same meaning. The lanes end right with probabilities 0.95, 0.5 and 0.05 if there are
// three.
TableWorld AlternativesWorld(const AlternativesWorldOptions& options);

struct NearWorldOptions {
  int32_t length = 100;  // tokens of a response, EOS included
  double forks = 0.15;   // fraction of the positions at which several tokens are likely
  double least = 0.12, most = 0.199;  // abs(d) of most tokens at forks that matter
  double above = 0.12;                // fraction of these forks with abs(d) of 0.2 to 0.35
  uint64_t seed = 1;
};

// Returns a world in which many tokens miss a gap of 0.2 by little. The state of a response is
// p(success) itself, in steps of 0.005: every row keeps its mean. Half of the forks, but at least
// 12, raise p by one amount and lower it by another, both drawn from the range above; the others
// choose between words. p ends at 0 or 1 mostly; where it lies between, the last token decides.
TableWorld NearWorld(const NearWorldOptions& options);

struct CoinWorldOptions {
  int32_t length = 100;   // tokens of a response, EOS included
  double forks = 0.15;    // fraction of the positions at which several words are likely
  double success = 0.03;  // p(success) of the prompt, in (0, 1)
  int32_t places = 4;     // where a response may turn, rarely
  uint64_t seed = 1;
};

// Returns a world whose prompt succeeds with probability `success`, which is meant to be near 0 or
// 1. Below 1/2 a response is wrong unless it turns right at one of few places; above, the reverse.
TableWorld CoinWorld(const CoinWorldOptions& options);

}  // namespace pivotal::testing
