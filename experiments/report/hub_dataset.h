// Apache-2.0. A run as a data set of the Hugging Face Hub.
#pragma once

#include <cstdint>
#include <filesystem>

namespace pivotal::experiments {

struct HubDatasetSummary {
  int64_t pairs = 0;
  int64_t tokens = 0;  // pivotal tokens
};

// Makes the folder `output`, which the Hub takes as it is: data/pairs.parquet with the pairs that
// BuildPairs makes under the run's gap, data/pivotal_tokens.parquet with the pivotal tokens that
// LoadFindings() keeps (data/FORMATS.md has their columns), and README.md, the card. Needs the
// tokenizer of the run's model, and Python's pyarrow. Nothing stays of a folder that does not
// become whole. Throws Error if the folder exists and is not empty; with `replace`, if it holds
// something else than such an export, which is replaced once the new one is whole.
HubDatasetSummary ExportHubDataset(const std::filesystem::path& run,
                                   const std::filesystem::path& output, double max_false_share = 1,
                                   bool replace = false);

}  // namespace pivotal::experiments
