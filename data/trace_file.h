// Apache-2.0. Parts of trace files that only data/ needs; the rest is in data/trace_store.h.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pivotal::data {

// The ids of a trace file's queries, without reading the rest. Throws like ReadTraces.
std::vector<std::string> ReadTraceIds(const std::filesystem::path& path);

}  // namespace pivotal::data
