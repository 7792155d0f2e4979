// Apache-2.0. Compares what a search found with the truth.
#pragma once

#include <span>
#include <string>

#include "pivotal/trace.h"

namespace pivotal::bench {

inline constexpr double kGap = 0.2, kTolerance = 0.05;

// Counts of found, missed and false tokens over all responses of a search.
class SearchScore {
 public:
  // Adds a searched response. `truth` holds its p_0..p_n. `slack` [n + 1] is the measurement error
  // of each p: an interval that comes this near to a p counts as covering it.
  void Add(const ResponseTrace& response, std::span<const double> truth,
           std::span<const double> slack);
  void AddTokens(double generated) { tokens_ += generated; }
  // Adds the shares of `query`'s rollouts by what they were drawn for.
  void AddShares(const QueryTrace& query);
  // Adds a pair that the search made. `difference`: the true p(chosen) - p(rejected).
  void AddPair(double difference);

  // Returns the members of a JSON object, without braces:
  //   responses          number of responses
  //   length             mean number of tokens of a response
  //   strong             mean number of strong tokens of a response: abs(d) >= kGap + kTolerance
  //   recall             fraction of the strong tokens that were reported
  //   reported           mean number of reported tokens of a response
  //   false_share        fraction of the reported tokens with abs(d) < kGap - kTolerance
  //   below              fraction of the reported tokens with abs(d) < kGap
  //   expected_below     the same fraction as the search expects it
  //   tokens             mean number of generated tokens for a response
  //   prompt_tokens, confirm_tokens  those of rollouts of the prompt, and of the fresh rollouts
  //   that
  //                      confirm pairs
  //   found_per_million  reported tokens with abs(d) >= kGap for a million generated tokens
  //   coverage_delta     fraction of the reported tokens whose interval holds d
  //   coverage_p         fraction of the estimated positions whose interval holds p
  //   pairs              number of pairs
  //   true_pairs_per_million  pairs whose sides really differ by kGap, for a million generated
  //                      tokens
  //   pairs_below        fraction of the pairs whose sides differ by less than kGap
  //   pairs_wrong        fraction of the pairs whose rejected side is the better one
  std::string Json() const;

 private:
  double responses_ = 0, length_ = 0, tokens_ = 0;
  double strong_ = 0, found_ = 0;
  double reported_ = 0, wrong_ = 0, below_ = 0, expected_below_ = 0, covered_ = 0;
  double values_ = 0, values_covered_ = 0;
  double prompt_tokens_ = 0, confirm_tokens_ = 0;
  double pairs_ = 0, pairs_below_ = 0, pairs_wrong_ = 0;
};

}  // namespace pivotal::bench
