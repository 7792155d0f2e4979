// Apache-2.0. The traces of a run that knows p(success) along its responses.
#pragma once

#include <filesystem>
#include <vector>

#include "experiments/search/run_config.h"
#include "pivotal/trace.h"

namespace pivotal::experiments {

// Reads the queries of a run folder. Throws Error for a run that has not measured p(success) at
// every token of its responses: one that was imported, or that --strategy none has made.
std::vector<QueryTrace> LoadMeasuredTraces(const RunConfig& config,
                                           const std::filesystem::path& run);

}  // namespace pivotal::experiments
