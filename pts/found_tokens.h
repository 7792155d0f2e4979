// Apache-2.0. How many pivotal tokens of a whole run are false, and which to keep so that few are.
#pragma once

#include <cstdint>
#include <span>

#include "pivotal/trace.h"

namespace pivotal::pts {

// Sets PivotalToken::probability of every token of a run to its posterior under a prior that is
// learned from the tokens of all queries (ChangePrior). One query has too few tokens to show, for
// example, that many changes lie just below the gap. Throws Error for a query whose pivotal tokens
// come without rollouts, as those of imported events do.
void LearnProbabilities(std::span<QueryTrace> run, double gap);

// The pivotal tokens of a run; one that several responses of a query share counts once for each.
struct KeptTokens {
  int64_t found = 0;       // those that the search reported
  int64_t kept = 0;        // those that remain
  double false_share = 0;  // expected share with abs(d) < gap among those that remain
};

// Removes pivotal tokens, and their alternatives, until the expected share of those that lie below
// the gap is at most `max_false_share`, in (0, 1]: the least probable ones go first. It is the mean
// of 1 - PivotalToken::probability (the Bayesian false discovery rate; Newton et al., Biostatistics
// 2004). Throws Error for a share out of range.
KeptTokens KeepTokens(std::span<QueryTrace> run, double max_false_share);

}  // namespace pivotal::pts
