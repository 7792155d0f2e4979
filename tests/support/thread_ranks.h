// Apache-2.0. Runs the ranks of a training as threads of a test.
#pragma once

#include <barrier>
#include <functional>
#include <thread>
#include <vector>

#include "dpo/ranks.h"

namespace pivotal::testing {

// Runs `work` once for each of `count` ranks, each in its own thread, and waits for all of them.
// Reductions sum in the order of the ranks.
void RunRanks(int count, const std::function<void(dpo::Ranks&)>& work);

}  // namespace pivotal::testing
