// Apache-2.0. What a search found, against the truth.
#pragma once

#include <span>
#include <string>

#include "data/trace.h"

namespace pivotal::bench {

inline constexpr double kGap = 0.2, kTolerance = 0.05;

// Sums over responses.
class SearchScore {
 public:
  // `truth`: p_0..p_n of the response. `slack` [n + 1]: how far from each p the truth may be where it
  // was measured itself; an interval that comes this near covers it.
  void Add(const data::ResponseTrace& response, std::span<const double> truth,
           std::span<const double> slack);
  void AddTokens(double generated) { tokens_ += generated; }

  // Members of a JSON object, without braces:
  //   responses, length      how many there were, and their mean length
  //   strong                 tokens with abs(d) >= kGap + kTolerance, a response
  //   recall                 share of the strong ones that was reported
  //   reported               tokens, a response
  //   false_share            of those reported: abs(d) < kGap - kTolerance
  //   below, expected_below  of those reported: abs(d) < kGap; what the search expects of that
  //   tokens                 generated, a response
  //   found_per_million      reported with abs(d) >= kGap, for a million generated tokens
  //   coverage_delta         of those reported: the interval holds d
  //   coverage_p             of all positions: the interval holds p
  std::string Json() const;

 private:
  double responses_ = 0, length_ = 0, tokens_ = 0;
  double strong_ = 0, found_ = 0;
  double reported_ = 0, wrong_ = 0, below_ = 0, expected_below_ = 0, covered_ = 0;
  double values_ = 0, values_covered_ = 0;
};

}  // namespace pivotal::bench
