// Apache-2.0. p(success) along a searched response.
#pragma once

#include <cstddef>
#include <vector>

#include "pivotal/trace.h"

namespace pivotal::pts {

// Throws Error unless the search has measured p_0..p_n of a response. It has not where the trace
// was imported.
void RequireMeasured(const QueryTrace& query, std::size_t response);

// Returns p_0..p_n: PrefixEstimate::mean of each position. Throws Error unless they are measured.
std::vector<double> CurveOf(const QueryTrace& query, std::size_t response);

}  // namespace pivotal::pts
