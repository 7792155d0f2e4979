// Apache-2.0. A policy whose success probabilities are known: a Markov chain over tokens.
#pragma once

#include <Eigen/Dense>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/table_policy.h"

namespace pivotal::testing {

// The next token depends on the last one alone. A response is right if it ends in EOS and the token
// before (the last prompt token, for a response of EOS alone) is marked `right`. It is wrong if it
// was cut at its length bound.
struct MarkovChain {
  Eigen::MatrixXd transition;  // [V, V]: row is the last token, column the next; rows sum to 1
  std::vector<bool> right;     // [V]
  TokenId eos = 0;

  int32_t VocabSize() const { return static_cast<int32_t>(right.size()); }
  bool IsRight(TokenId last_of_prompt, std::span<const TokenId> response) const;
  // [V]: probability that a completion of at most `remaining` tokens after each token is right, by
  // dynamic programming. A response that has ended has no completion: 0 for EOS.
  Eigen::VectorXd Success(int32_t remaining) const;
  // The same without a length bound, by solving the linear system of the absorbing chain.
  Eigen::VectorXd SuccessUnbounded() const;
};

// Uneven random rows, so that some tokens matter. EOS is the last id, drawn with 0.02 to 0.22.
MarkovChain RandomChain(int32_t vocab, uint64_t seed);

// Wanders over tokens 1 and 2, which change nothing, until it draws 3 (then 5, then EOS: right) or
// 4 (then 6, then EOS: wrong); EOS is 7, prompts end in 0. Tokens 3 and 4 decide everything.
MarkovChain ForkChain();

// Every request is logged.
class MarkovPolicy : public TablePolicy {
 public:
  MarkovPolicy(MarkovChain chain, uint64_t seed);

  std::vector<std::vector<model::Rollout>> Sample(std::span<const model::RolloutRequest> requests,
                                                  const Progress& progress,
                                                  const model::RolloutSink& finished = {}) override;

  const MarkovChain& chain() const { return chain_; }
  const std::vector<model::RolloutRequest>& log() const { return log_; }
  int64_t calls() const { return calls_; }  // of Sample

 protected:
  std::span<const Move> Moves(TokenId last) const override { return moves_[last]; }
  bool IsEnd(TokenId token) const override { return token == chain_.eos; }
  void Note(const model::RolloutRequest& request) override;

 private:
  MarkovChain chain_;
  std::vector<std::vector<Move>> moves_;  // of the chain's rows
  std::vector<model::RolloutRequest> log_;
  int64_t calls_ = 0;
};

}  // namespace pivotal::testing
