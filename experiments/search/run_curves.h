// Apache-2.0. p(success) along the responses of a run, by token or by sentence. Needs no model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace pivotal::experiments {

struct CurveSettings {
  std::filesystem::path run, output;
  std::string granularity = "token";  // or "sentence"
};

struct CurveSummary {
  int64_t responses = 0;
  int64_t units = 0;     // tokens or sentences
  int64_t reaching = 0;  // units whose |change| is the run's gap or more
};

// Writes one line for each unit of each response (data/FORMATS.md): how p(success) changes across
// the unit, with the interval at the run's confidence, what the rollouts did that left the response
// inside the unit, and the answers in which completions end after it. These are thought anchors
// (arXiv 2506.19143) read from the rollouts of the run. Throws Error for an unknown granularity or
// oracle.
CurveSummary WriteCurves(const CurveSettings& settings);

}  // namespace pivotal::experiments
