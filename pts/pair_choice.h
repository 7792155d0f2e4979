// Apache-2.0. Which pivotal tokens give a pair, and why the others give none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/trace.h"

namespace pivotal::pts {

struct PairOptions {
  double gap = 0.2;  // chosen minus rejected on fresh rollouts, at least; in (0, 1)
  double min_delta = 0;  // abs(delta) of the trunk's token, at least; in [0, 1)
  // One-sided, of chosen being better than rejected on fresh rollouts; in [0, 1), 0 asks for nothing.
  double min_confidence = 0.95;
  int32_t max_pairs_per_response = 0;  // the largest differences first; 0: no limit
  void Validate() const;
};

enum class NoPair : uint8_t {
  kNone,         // the token gives a pair
  kNoOther,      // rollouts met no token in its place that may be the other side
  kNotMeasured,  // a side has no fresh rollouts
  kSmallDelta,   // below min_delta
  kSmallGap,     // below gap, or the wrong way round
  kNotApart,     // below min_confidence
  kRepeated,     // an earlier response of the query gives the same prefix, chosen and rejected
  kOverLimit     // max_pairs_per_response
};

// Of a token by itself: neither kRepeated nor kOverLimit.
NoPair WhyNoPair(const data::PivotalToken& token, const PairOptions& options);

// Of every pivotal token of a query: [response][index in ResponseTrace::pivotal].
std::vector<std::vector<NoPair>> WhyNoPairs(const data::QueryTrace& query, const PairOptions& options);

// "sides differ by 0.12 on fresh rollouts, 0.2 asked for"; empty for kNone.
std::string TextOf(NoPair reason, const data::PivotalToken& token, const PairOptions& options);

}  // namespace pivotal::pts
