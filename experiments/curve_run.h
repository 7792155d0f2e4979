// Apache-2.0. p(success) along the responses of a run, by token or by sentence; needs no model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::experiments {

struct CurveSettings {
  std::filesystem::path run, output;
  std::string granularity = "token";  // or "sentence"
};

struct CurveSummary {
  int64_t responses = 0, units = 0, reaching = 0;  // units with abs(change) >= the run's gap
};

// Positions k at which the sentences of a response end, ascending; the last one is n. A sentence ends
// with ".", "!" or "?" (closing quotes and brackets may follow) before white space, or with a line end.
// A token that holds the end of one sentence and the start of the next belongs to the first.
std::vector<int32_t> SentenceEnds(const data::Tokenizer& tokenizer,
                                  const std::vector<TokenId>& response);

// Writes a line per unit (data/FORMATS.md): the change of p across it from all rollouts that the run
// holds, with its interval at the run's confidence, and what rollouts that left inside it did instead;
// thought anchors (arXiv 2506.19143) read from the same rollouts. Throws Error for another granularity.
CurveSummary WriteCurves(const CurveSettings& settings);

}  // namespace pivotal::experiments
