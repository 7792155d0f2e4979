// Apache-2.0. Writes a search run as one HTML page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace pivotal::experiments {

struct ReportSummary {
  int64_t problems = 0;
  int64_t pivotal = 0;  // pivotal tokens
  int64_t bytes = 0;    // size of the page
};

// Writes the page of a run, with the training curves of the folders `trainings` (outputs of pivotal
// train). Needs the tokenizer of the run's model, not its weights. The page needs no network and
// opens from disk. Writes under a temporary name, then renames the file.
ReportSummary WriteReport(const std::filesystem::path& run,
                          const std::vector<std::filesystem::path>& trainings,
                          const std::filesystem::path& output);

}  // namespace pivotal::experiments
