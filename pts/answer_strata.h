// Apache-2.0. Distributions of answers along the responses of a trie.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pts/answers.h"
#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// Numbers of rollouts, one for each answer; they may be fractional.
using AnswerCounts = std::vector<double>;

// Returns the number of all rollouts.
double SumOf(std::span<const double> counts);

// Returns the prior mean of a distribution of `answers` answers, before any rollout: half for the
// right one, answer 0, the other half divided among the wrong ones. The Dirichlet distribution with
// twice these numbers as parameters is the prior of a distribution that nothing is known of. Its
// p(success) is uniform, whatever the number of answers.
std::vector<double> AnswerGuess(int32_t answers);

// Returns the logarithm of the probability that a Dirichlet distribution with these parameters
// gives rollouts with these counts, in one order.
double LogMarginal(std::span<const double> parameters, std::span<const double> counts);

// A weighted sum of distributions of answers, each with an independent sample of its own:
// LinearEstimate for several answers.
struct AnswerEstimate {
  struct Term {
    double weight = 0;
    AnswerCounts counts;        // the sample
    std::vector<double> guess;  // stands for the mean as long as there is no sample
  };
  std::vector<double> constant;
  std::vector<Term> terms;

  // Returns the estimate from the counts alone.
  std::vector<double> Mean() const;
  // Returns the part of one answer, for its interval. The counts must be whole numbers.
  LinearEstimate Of(int32_t answer) const;
  // Returns counts that say about as much on the sum, which must be a distribution: the posterior
  // that they give has the same mean and the same total variance as the sum has where each term has
  // its posterior. The counts of a single term of weight 1 come back as they are. At most 1000.
  AnswerCounts AsCounts() const;
};

// The trie of a stored query with its strata, once for each answer: there a rollout succeeds if it
// states that answer. So everything that is estimated of p(success) is estimated of each answer.
class AnswerStrata {
 public:
  AnswerStrata(const QueryTrace& trace, const AnswerTable& table, double gap);

  int32_t answers() const { return static_cast<int32_t>(parts_.size()); }
  // The trie and the strata of the right answer: those of p(success).
  const SuccessTrie& trie() const { return parts_[0]->trie; }
  const Strata& strata() const { return parts_[0]->strata; }

  // Return the distributions of the answers after a node, and with another token than the node's.
  AnswerEstimate Value(int32_t node) const;
  AnswerEstimate WithoutToken(int32_t node) const;
  // Returns the rollouts that left at a stratum; those that left at a node with `token`.
  AnswerCounts Left(int32_t stratum) const;
  AnswerCounts Branch(int32_t node, TokenId token) const;

 private:
  struct Part {
    Part(const QueryTrace& trace, double gap) : trie(TrieOf(trace)), strata(trie, gap) {}
    SuccessTrie trie;
    Strata strata;
  };
  template <typename Get>
  AnswerEstimate Joined(Get&& get) const;

  std::vector<std::unique_ptr<Part>> parts_;
};

}  // namespace pivotal::pts
