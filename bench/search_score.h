// Apache-2.0. Compares what a search found with the truth.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "pivotal/trace.h"

namespace pivotal::bench {

inline constexpr double kGap = 0.2, kTolerance = 0.05;

// Counts of found, missed and false tokens over all responses of a search.
class SearchScore {
 public:
  // Begins a problem. Responses that are added after it belong to it: they share rollouts.
  void BeginProblem() { problems_.emplace_back(); }
  // Adds a searched response. `truth` holds its p_0..p_n. `slack` [n + 1] is the measurement error
  // of each p: an interval that comes this near to a p counts as covering it.
  void Add(const ResponseTrace& response, std::span<const double> truth,
           std::span<const double> slack);
  // A run of tokens, both ends included.
  struct Sentence {
    int32_t first, last;
  };
  // Adds a response and the positions that a method without intervals reports, with the sentences
  // that it reports if it is one for sentences.
  void AddReported(std::span<const int32_t> reported, const std::vector<Sentence>* sentences,
                   std::span<const double> truth);
  // Adds an alternative's interval [low, high] and its true p.
  void AddAlternative(double low, double high, double truth);
  void AddTokens(double generated) { tokens_ += generated; }
  // Adds the shares of `query`'s rollouts by what they were drawn for.
  void AddShares(const QueryTrace& query);
  // Adds a pair that the search made. `difference`: the true p(chosen) - p(rejected).
  void AddPair(double difference);

  // Returns the members of a JSON object, without braces; null where there is nothing to count:
  //   problems           number of problems
  //   searched           number of problems with a searched response
  //   responses          number of responses
  //   length             mean number of tokens of a response
  //   strong             mean number of strong tokens of a response: abs(d) >= kGap + kTolerance
  //   recall             fraction of the strong tokens that were reported
  //   recall_low, recall_high  95% interval of recall: a bootstrap over problems
  //   recall_sentence    fraction of the strong tokens that lie in a reported sentence
  //   reported           mean number of reported tokens of a response
  //   false_share        fraction of the reported tokens with abs(d) < kGap - kTolerance
  //   below              fraction of the reported tokens with abs(d) < kGap
  //   expected_below     the same fraction as the search expects it
  //   tokens             mean number of generated tokens for a response
  //   prompt_tokens      those of rollouts of the prompt
  //   confirm_tokens     those of fresh rollouts that confirm pairs
  //   found_per_million  reported tokens with abs(d) >= kGap for a million generated tokens
  //   coverage_delta     fraction of the reported tokens whose interval holds d
  //   coverage_p         fraction of the estimated positions whose interval holds p
  //   coverage_p0        fraction of the searched problems whose interval of p_0 holds it
  //   coverage_alternatives  fraction of the alternatives whose interval holds p after them
  //   error_p0           mean of the estimates of p_0 less the truth
  //   inward_p0          the same error, counted positive towards 1/2, where a band has its middle
  //   mse_p              mean squared error of p, all positions but the last of each response
  //   pairs              number of pairs
  //   true_pairs_per_million  pairs whose sides really differ by kGap, for a million generated
  //                      tokens
  //   pairs_below        fraction of the pairs whose sides differ by less than kGap
  //   pairs_wrong        fraction of the pairs whose rejected side is the better one
  //   calibration        [count, mean probability, fraction with abs(d) >= kGap] of the reported
  //                      tokens whose `probability` lies in each tenth of [0, 1]
  std::string Json() const;

 private:
  struct Share {
    double hits = 0, all = 0;
    void Add(bool hit) {
      hits += hit;
      all += 1;
    }
  };
  struct Problem {
    Share recall;
    double responses = 0;
  };
  struct Bin {
    double count = 0, probability = 0, pivotal = 0;
  };
  static std::string Text(double value, double all);
  static std::string Text(Share share) { return Text(share.hits / share.all, share.all); }
  // Returns the ends of the interval of recall; problems are drawn with replacement.
  std::array<double, 2> RecallInterval() const;
  std::string CalibrationJson() const;

  std::vector<Problem> problems_;
  double responses_ = 0, length_ = 0, tokens_ = 0;
  double prompt_tokens_ = 0, confirm_tokens_ = 0;
  Share recall_, in_sentence_, wrong_, below_, covered_, p_covered_, p0_covered_, aside_covered_;
  double expected_below_ = 0, p0_error_ = 0, p0_inward_ = 0, square_error_ = 0, square_errors_ = 0;
  Share pairs_below_, pairs_wrong_;
  std::array<Bin, 10> bins_;
};

}  // namespace pivotal::bench
