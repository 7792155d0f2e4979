// Apache-2.0. One run of several.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace pivotal::experiments {

struct MergedRuns {
  int64_t problems = 0;  // that the runs hold
  int64_t missing = 0;   // of the file of problems, in none of them
};

// Makes the run folder `output` of runs over shards of one file of problems: run.toml with all of it, traces.h5 in the file's
// order. Throws Error before anything is written if there are fewer than two runs, a problem is in two of them or not in the
// file, or they differ in their model or in a setting, which it names.
MergedRuns MergeRuns(const std::vector<std::filesystem::path>& runs, const std::filesystem::path& output);

}  // namespace pivotal::experiments
