// Apache-2.0. Writes a search run as one HTML page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace pivotal::experiments {

struct ReportSettings {
  std::filesystem::path run;          // folder of pivotal search
  std::filesystem::path beside = {};  // another run of the same problems, shown beside it; "": none
  std::vector<std::filesystem::path> trainings = {};  // outputs of pivotal train, for their curves
  std::filesystem::path output;                       // page to write
};

struct ReportSummary {
  int64_t problems = 0;
  int64_t pivotal = 0;  // pivotal tokens
  int64_t both = 0;     // problems that are in both runs; 0 for one run
  int64_t bytes = 0;    // size of the page
};

// Writes the page of a run. Needs the tokenizer of the run's model, not its weights. The page needs
// no network and opens from disk. Writes under a temporary name, then renames the file. Throws
// Error if a run cannot be read, or if the one beside it has another tokenizer or other problems.
ReportSummary WriteReport(const ReportSettings& settings);

}  // namespace pivotal::experiments
