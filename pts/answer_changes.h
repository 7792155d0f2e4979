// Apache-2.0. Change points of the distribution of answers along a response, with their posterior.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pts/answer_strata.h"

namespace pivotal::pts {

// A point of a response at which rollouts leave it.
struct AnswerStep {
  double leave = 0;     // probability of leaving here: 1 - pi
  AnswerCounts counts;  // the rollouts that left
  int32_t token = -1;   // node of the token that can be a change point here; -1 for none
};

// What is known of the change that one token makes: the total variation between the distributions
// of the answers before and after it, half the sum of the absolute differences.
struct AnswerChange {
  int32_t node = -1;       // of the token
  double probability = 0;  // posterior probability that the change is the gap or more
  double mean = 0;         // posterior mean of the change
};

// Returns the points of a response, first to last. A token with 1 - pi < gap is no change point: it
// changes the distribution by at most 1 - pi. Such tokens are pooled as in Strata.
std::vector<AnswerStep> AnswerSteps(const AnswerStrata& strata, int32_t response, double gap);

// Returns the changes at all steps, given that the response ends in `answer`.
//
// Let p_k be the distribution of the answers after t_1..t_k, and q_k the one where another token
// follows t_1..t_(k-1). Backwards from the response's own answer,
//
//   p_(k-1) = (1 - leave) p_k + leave q_k.
//
// The prior is that of JumpModel for several answers. Most tokens could have been others without
// any effect: q_k = p_k. Some q_k are near p_k: Dirichlet, as after 12 rollouts from p_k. Few are
// anything: Dirichlet with the parameters 2 AnswerGuess(). Of p(success) alone this is the same
// prior however many answers there are. Cf. change points in Forking Paths (Bigelow et al., arXiv
// 2412.07961), which looks for one to a few in a response, by MCMC.
//
// The posterior is computed by a particle filter from the end to the beginning. As the prior is
// conjugate, a particle draws q_k from its posterior given the rollouts that left there, and its
// weight is exact (fully adapted: Pitt and Shephard, JASA 1999). Each change is read from the paths
// of the particles that remain at the beginning. `stream` keys the random numbers: the result is a
// function of the arguments. Its Monte Carlo error is about 0.02.
std::vector<AnswerChange> AnswerChanges(std::span<const AnswerStep> steps, int32_t answer,
                                        double gap, uint64_t stream);

}  // namespace pivotal::pts
