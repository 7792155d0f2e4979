// Apache-2.0. Searches given responses instead of responses that the search samples itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pivotal/search.h"
#include "pivotal/trace.h"

namespace pivotal::testing {

struct GivenResponse {
  Query query;
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  bool success = false;
};

// Searches the given responses as Search() does, but builds no pairs: it samples `samples` rollouts
// of each prompt, then those that the strategy plans. All responses share the batches. Unlike in a
// search, the responses were not chosen among the rollouts of their prompt, so that a rollout that
// repeats a response counts like any other. Result i belongs to given[i].
std::vector<ResponseTrace> SearchGiven(std::span<const GivenResponse> given, Policy& policy,
                                       const Judge& judge, const SearchOptions& options);

}  // namespace pivotal::testing
