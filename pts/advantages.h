// Apache-2.0. What searched responses count for as samples of the policy.
#pragma once

#include "pivotal/trace.h"

namespace pivotal::pts {

// Returns the weight of a searched response with this verdict, as BuildCurveAdvantages() says.
double WeightOfVerdict(const QueryTrace& query, bool success);

}  // namespace pivotal::pts
