// Apache-2.0.
#include "experiments/search/measured_run.h"

#include "data/base/error.h"
#include "data/traces/trace_store.h"
#include "pts/measured_curve.h"

namespace pivotal::experiments {

std::vector<QueryTrace> LoadMeasuredTraces(const RunConfig& config,
                                           const std::filesystem::path& run) {
  RequireMeasured(config, run);
  auto traces = data::LoadRun(run);
  try {
    for (const QueryTrace& query : traces)
      for (std::size_t r = 0; r < query.responses.size(); ++r) pts::RequireMeasured(query, r);
  } catch (const Error& error) {
    Fail("{}: {}", run.string(), error.what());
  }
  return traces;
}

}  // namespace pivotal::experiments
