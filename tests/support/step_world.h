// Apache-2.0. Builds worlds (tests/support/table_world.h) from steps, each with a table of moves
// between states.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/philox.h"
#include "tests/support/table_world.h"

namespace pivotal::testing {

// A token of the next step: the state that it leads to, its word, and its probability. Words of one
// state differ as tokens and mean the same.
struct Jump {
  int32_t state, word;
  double probability;
};

// What may follow each state at one step: rows[state].
struct StateStep {
  std::vector<std::vector<Jump>> rows;
};

// Returns the world of responses that begin in state `first`, take one token of each step, and then
// end right with probability ends_right[state]. Probabilities of a row must sum to 1.
TableWorld WorldOfSteps(std::span<const StateStep> steps, int32_t first,
                        std::span<const double> ends_right);

// Returns `count` random positive weights that sum to `total`, few of them near 0.
std::vector<double> RandomWeights(kernels::RandomStream& random, int32_t count, double total);

// Returns a step at which every state stays as it is and takes one of `words` words at random
// weights, the same for all states.
StateStep WordStep(kernels::RandomStream& random, int32_t states, int32_t words);

// Returns a step at which every state stays as it is and rarely takes another word.
StateStep RareWordStep(kernels::RandomStream& random, int32_t states);

// Returns `count` different numbers of [begin, end), ascending; all of them if there are fewer.
std::vector<int32_t> RandomPlaces(kernels::RandomStream& random, int32_t begin, int32_t end,
                                  int32_t count);

}  // namespace pivotal::testing
