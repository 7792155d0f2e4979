// Apache-2.0.
#include "pts/measured_curve.h"

#include "data/base/error.h"

namespace pivotal::pts {

void RequireMeasured(const QueryTrace& query, std::size_t response) {
  const ResponseTrace& of = query.responses[response];
  if (query.rollouts.empty() || of.estimates.size() != of.tokens.size() + 1)
    Fail(
        "p(success) is not known at every token of response {} of problem {}; an imported run has "
        "none",
        response, query.id);
}

std::vector<double> CurveOf(const QueryTrace& query, std::size_t response) {
  RequireMeasured(query, response);
  std::vector<double> p;
  for (const PrefixEstimate& estimate : query.responses[response].estimates)
    p.push_back(estimate.mean);
  return p;
}

}  // namespace pivotal::pts
