// Apache-2.0. A policy that is a Markov chain over tokens; its success probabilities are known
// exactly.
#pragma once

#include <Eigen/Dense>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/support/table_policy.h"

namespace pivotal::testing {

// The next token depends on the last one alone. A response is right if it ends in EOS and the token
// before EOS is marked `right`. For a response of EOS alone, that is the last token of the prompt.
// A response that was cut at its length limit is wrong.
struct MarkovChain {
  Eigen::MatrixXd transition;  // [V, V]: row is the last token, column the next; rows sum to 1
  std::vector<bool> right;     // [V]
  TokenId eos = 0;

  int32_t VocabSize() const { return static_cast<int32_t>(right.size()); }
  bool IsRight(TokenId last_of_prompt, std::span<const TokenId> response) const;
  // Returns for each token, [V], the probability that a completion of at most `remaining` tokens
  // after it is right, by dynamic programming. It is 0 for EOS, which has no completion.
  Eigen::VectorXd Success(int32_t remaining) const;
  // Returns the same without a length limit, by solving the linear system of the absorbing chain.
  Eigen::VectorXd SuccessUnbounded() const;
};

// Returns a chain with uneven random rows, so that some tokens matter. EOS is the last id; its
// probability is 0.02 to 0.22 in every row.
MarkovChain RandomChain(int32_t vocab, uint64_t seed);

// Returns a chain in which tokens 3 and 4 alone decide. A response consists of tokens 1 and 2 until
// it samples 3 (then 5 and EOS: right) or 4 (then 6 and EOS: wrong). EOS is 7; prompts end in 0.
MarkovChain ForkChain();

// Samples from the chain and keeps a log of all requests.
class MarkovPolicy : public TablePolicy {
 public:
  MarkovPolicy(MarkovChain chain, uint64_t seed);

  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished = {}) override;

  const MarkovChain& chain() const { return chain_; }
  const std::vector<RolloutRequest>& log() const { return log_; }
  int64_t calls() const { return calls_; }  // number of calls of Sample()

 protected:
  std::span<const Move> Moves(TokenId last) const override { return moves_[last]; }
  bool IsEnd(TokenId token) const override { return token == chain_.eos; }
  void Note(const RolloutRequest& request) override;

 private:
  MarkovChain chain_;
  std::vector<std::vector<Move>> moves_;  // the rows of the chain
  std::vector<RolloutRequest> log_;
  int64_t calls_ = 0;
};

}  // namespace pivotal::testing
