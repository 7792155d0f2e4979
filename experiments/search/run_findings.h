// Apache-2.0. The pivotal tokens of a run with few false ones among them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "pivotal/trace.h"
#include "pts/found_tokens.h"

namespace pivotal::experiments {

// Pivotal tokens are kept until a larger share of them is expected to lie below the run's gap
// (pts::KeepTokens, with probabilities learned from the whole run); 1 keeps all as they are.
struct Findings {
  std::vector<QueryTrace> traces;
  pts::KeptTokens kept;  // for a share below 1

  // Returns "120 of 143 pivotal tokens kept; 1.9% of them are expected to lie below the gap of
  // 0.2".
  std::string Text(double gap) const;
};

// Reads the queries of a run folder. Throws the Errors of data::LoadRun(), and Error for a run
// without rollouts if the share is below 1.
Findings LoadFindings(const std::filesystem::path& run, double gap, double max_false_share);

}  // namespace pivotal::experiments
