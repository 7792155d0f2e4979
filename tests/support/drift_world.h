// Apache-2.0. A policy with long responses in which many tokens matter a little.
#pragma once

#include <cstdint>

#include "tests/support/table_world.h"

namespace pivotal::testing {

struct DriftWorldOptions {
  int32_t length = 100;   // tokens of a response, EOS included
  double forks = 0.15;    // share of the positions at which two tokens are likely
  int32_t reach = 4;      // a fork moves the score by 1 to this much, either way
  uint64_t seed = 1;
};

// A response keeps a score, from 0 on. Most steps have one likely token that leaves it; at every fork
// one token raises it and one lowers it. A response succeeds if its score ends at 0 or above, so
// success drifts by many small steps, larger ones towards the end of a close response.
TableWorld DriftWorld(const DriftWorldOptions& options);

}  // namespace pivotal::testing
