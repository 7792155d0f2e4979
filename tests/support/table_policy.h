// Apache-2.0. A policy whose next token depends on the last one alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/policy.h"

namespace pivotal::testing {

// What may follow a token, and how often.
struct Move {
  TokenId token;
  double probability;
};

// Counters claim one microsecond per sampled token.
class TablePolicy : public model::Policy {
 public:
  explicit TablePolicy(uint64_t seed) : seed_(seed) {}

  std::vector<std::vector<model::Rollout>> Sample(std::span<const model::RolloutRequest> requests,
                                                  const Progress& progress,
                                                  const model::RolloutSink& finished = {}) override;
  std::vector<model::TokenScore> Score(std::span<const TokenId> prefix,
                                       std::span<const TokenId> continuation) override;
  const model::RolloutCounters& counters() const override { return counters_; }

 protected:
  // In ascending order of token, none with probability 0; they sum to 1.
  virtual std::span<const Move> Moves(TokenId last) const = 0;
  virtual bool IsEnd(TokenId token) const = 0;
  // Called before a request is served.
  virtual void Note(const model::RolloutRequest&) {}

 private:
  model::Rollout SampleOne(const model::RolloutRequest& request, uint32_t rollout) const;

  uint64_t seed_;
  model::RolloutCounters counters_;
};

}  // namespace pivotal::testing
