// Apache-2.0. What a search has found and cost, for people and for programs.
#pragma once

#include <filesystem>
#include <string>

#include "experiments/search/search_run.h"

namespace pivotal::experiments {

// Returns the counts of a search as lines of text; names the command that comes next.
std::string SummaryText(const SearchResult& result, const std::filesystem::path& run);

// Returns them as one JSON object (data/FORMATS.md).
std::string SummaryJson(const SearchResult& result, const std::filesystem::path& run);

}  // namespace pivotal::experiments
