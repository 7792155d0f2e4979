// Apache-2.0. What PTS hands to DPO, and prompt-completion pairs for next-token training.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::data {

// Successes among rollouts that continue one side of a pair.
struct SideEstimate {
  int32_t samples = 0;
  int32_t successes = 0;
  double low = 0, high = 1;  // 95% interval of the success probability
};

// prompt + chosen versus prompt + rejected; for pivotal pairs both sides are single tokens.
struct PreferencePair {
  std::string id;  // "<query id>/<response>/<position>"
  std::string prompt, chosen, rejected;  // text, "" for messages; for people and for TRL
  std::vector<TokenId> prompt_ids, chosen_ids, rejected_ids;  // what Pivotal trains on
  // Of each token's log-probability in the loss, 0 or more (cDPO, arXiv 2411.19943); empty: all 1.
  std::vector<float> chosen_weights, rejected_weights;
  SideEstimate chosen_estimate, rejected_estimate;  // fresh rollouts, after the side's token
  double delta = 0;  // p_k - p_{k-1} of the trunk token as the search measured it; 0 if unknown
  double delta_low = -1, delta_high = 1;  // its interval, valid however often the search looked
  std::string source = "pivotal";  // or what it is a control by: pts/pair_builder.h
};

// prompt -> completion, for `--objective sft`. The loss covers the completion only.
struct PromptCompletion {
  std::vector<TokenId> prompt_ids, completion_ids;
};

}  // namespace pivotal::data
