// Apache-2.0. Searches responses that are given, in place of those that a search draws itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/trace.h"
#include "pts/search.h"

namespace pivotal::testing {

struct GivenResponse {
  pts::Query query;
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  bool success = false;
};

// What pts::Search does for each query's responses, without pairs: `samples` rollouts of the prompt,
// then those that the strategy asks for, in batches that all share. Rollouts of the prompt that repeat
// the response count as any other: it was not chosen among them. Result i belongs to given[i].
std::vector<data::ResponseTrace> SearchGiven(std::span<const GivenResponse> given,
                                             model::Policy& policy, const pts::Judge& judge,
                                             const pts::SearchOptions& options);

}  // namespace pivotal::testing
