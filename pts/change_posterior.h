// Apache-2.0. How likely tokens are pivotal, by their measured changes of p alone.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "pts/strata.h"
#include "pts/success_trie.h"

namespace pivotal::pts {

// A measured change d of p: an unbiased estimate and its variance.
struct MeasuredChange {
  double mean = 0, variance = 0;
};

// A prior of changes that is learned from the measured ones, and their posterior: adaptive
// shrinkage (Stephens, False discovery rates: a new deal, Biostatistics 2017). The prior is a
// mixture of normals with mean 0 and standard deviations from 0.01 to 0.4. So small changes are
// never rarer than large ones, and a change that was measured just above the gap may well lie below
// it. The mixture's weights maximise the likelihood of the estimates, with a few imaginary ones.
class ChangePrior {
 public:
  explicit ChangePrior(std::span<const MeasuredChange> changes);
  // Returns the posterior probability of abs(d) >= gap.
  double Reaches(const MeasuredChange& change, double gap) const;
  // Returns the posterior mean of d: the measured change, shrunk the more the less is known of it.
  double Mean(const MeasuredChange& change) const;

 private:
  std::vector<double> weights_;  // of the components; their sum is 1
};

// Returns the measured change of each token of a trie that can be pivotal, by its node. A token
// with 1 - pi_k < gap cannot be.
std::map<int32_t, MeasuredChange> ChangesOf(const SuccessTrie& trie, const Strata& strata,
                                            double gap);

// Returns those of all queries of a run that have rollouts, to learn a prior from.
std::vector<MeasuredChange> MeasuredChanges(std::span<const QueryTrace> run, double gap);

// Returns the posterior mean of the change of each token of a response.
std::vector<double> MeanChanges(const SuccessTrie& trie, const Strata& strata,
                                const ChangePrior& prior, int32_t response);

// The posterior probabilities that the tokens of a trie are pivotal, abs(d_k) >= gap, given the
// counts of one moment. Estimates count as normal.
class ChangePosterior {
 public:
  ChangePosterior(const SuccessTrie& trie, const Strata& strata, double gap);
  double PivotalProbability(int32_t node) const { return pivotal_[node]; }

 private:
  std::vector<double> pivotal_;  // for each node
};

}  // namespace pivotal::pts
