// Apache-2.0. A run as one HTML page; the page and what it is given are in experiments/report/.
#pragma once

#include <filesystem>
#include <vector>

#include "data/progress.h"

namespace pivotal::experiments {

struct ReportSummary {
  int64_t problems = 0, pivotal = 0, bytes = 0;
};

// Writes the page of a search run, with the training curves of `trainings` (output folders of pivotal train). Needs the
// tokenizer of the run's model, not its weights. The page is whole in itself: no network, opens from disk. Written
// aside and renamed.
ReportSummary WriteReport(const std::filesystem::path& run, const std::vector<std::filesystem::path>& trainings,
                          const std::filesystem::path& output);

}  // namespace pivotal::experiments
