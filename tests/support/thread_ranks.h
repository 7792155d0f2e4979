// Apache-2.0. Ranks that are threads of the test.
#pragma once

#include <barrier>
#include <functional>
#include <thread>
#include <vector>

#include "dpo/ranks.h"

namespace pivotal::testing {

// Runs `work` once for each of `count` ranks, each in a thread of its own, and waits for all. Sums are
// made in the order of the ranks.
void RunRanks(int count, const std::function<void(dpo::Ranks&)>& work);

}  // namespace pivotal::testing
