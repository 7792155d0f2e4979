// Apache-2.0. A policy with long responses, few forks and known success probabilities.
#pragma once

#include <cstdint>

#include "tests/support/table_world.h"

namespace pivotal::testing {

struct LaneWorldOptions {
  int32_t length = 100;       // tokens of a response, EOS included
  double forks = 0.15;        // share of the positions at which several tokens are likely
  double switches = 6;        // forks that choose between lanes, on average; the others choose words
  int32_t lanes = 4;          // courses that a solution may take; each succeeds with its own odds
  uint64_t seed = 1;
};

// A response walks from step to step in one of several lanes. Most steps have one likely token; at a
// fork the policy chooses between words that mean the same, or between lanes. The lane in which a
// response ends decides its verdict by odds that the last token before EOS carries. Few tokens matter.
TableWorld LaneWorld(const LaneWorldOptions& options);

}  // namespace pivotal::testing
