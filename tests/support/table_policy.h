// Apache-2.0. A policy that is a table: the next token depends on the last one alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pivotal/policy.h"

namespace pivotal::testing {

// A token that may come next, and its probability.
struct Move {
  TokenId token;
  double probability;
};

// Its counters report one microsecond per sampled token.
class TablePolicy : public Policy {
 public:
  explicit TablePolicy(uint64_t seed) : seed_(seed) {}

  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished = {}) override;
  std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                std::span<const TokenId> continuation) override;
  RolloutCounters counters() const override { return counters_; }

 protected:
  // Returns the tokens that may follow `last`, ascending; probabilities are above 0 and sum to 1.
  virtual std::span<const Move> Moves(TokenId last) const = 0;
  virtual bool IsEnd(TokenId token) const = 0;
  // Called before each request is sampled.
  virtual void Note(const RolloutRequest&) {}

 private:
  Rollout SampleOne(const RolloutRequest& request, uint32_t rollout) const;

  uint64_t seed_;
  RolloutCounters counters_;
};

}  // namespace pivotal::testing
