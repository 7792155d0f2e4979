// Apache-2.0. How often a model solves a problem set, as means with intervals.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/base/file_sink.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/policy.h"
#include "pivotal/problem.h"
#include "pivotal/progress.h"
#include "pivotal/served.h"

namespace pivotal::experiments {

class RolloutModel;

// A mean with its 95% interval.
struct MeanInterval {
  double mean = 0, low = 0, high = 0;
};

// Returns the mean of `values` with a percentile bootstrap interval (Efron and Tibshirani, 1993):
// 10,000 resamples. Each value is a problem's score or a paired difference of scores. Both
// functions depend on nothing but their arguments.
MeanInterval BootstrapMean(std::span<const double> values, uint64_t seed = 1);

// Returns the ratio of the sums, with such an interval. Numerator and denominator of an item are
// resampled together. A resample whose denominators sum to 0 counts as 0.
MeanInterval BootstrapRatio(std::span<const double> numerators,
                            std::span<const double> denominators, uint64_t seed = 1);

// The responses to one problem.
struct ProblemScore {
  std::string id;
  int32_t samples = 0;          // sampled responses
  int32_t successes = 0;        // sampled responses that are right
  bool greedy = false;          // true if the response at temperature 0 is right
  int32_t refusals = 0;         // sampled responses that are refusals
  bool greedy_refused = false;  // true if the response at temperature 0 is a refusal
  bool unanswerable = false;    // true if a refusal is a right answer, otherwise it is wrong
  double Mean() const { return samples > 0 ? static_cast<double>(successes) / samples : 0.0; }
  // Returns the number of sampled responses that answer, and are right.
  int32_t RightAnswers() const { return unanswerable ? successes - refusals : successes; }
};

struct Accuracy {
  std::vector<ProblemScore> problems;  // in the order of the problem file
  RolloutCounters counters;
  VerdictCounts verdicts;  // responses without a verdict count as wrong

  // Return the accuracy over problems: of sampled responses, and at temperature 0.
  MeanInterval Sampled() const;
  MeanInterval Greedy() const;
  // Returns the part of the sampled responses that are no refusals.
  MeanInterval Answered() const;
  // Returns the part of the sampled responses without refusals that is right.
  MeanInterval RightOfAnswered() const;
};

struct EvalOptions {
  // Responses to each problem under the sampling settings, 0 or more. One response at temperature 0
  // is always added.
  int32_t samples = 4;
  // Largest share of verdicts that may fail (OracleOptions::max_failures).
  double max_oracle_failures = OracleOptions().max_failures;
  // A response that holds this text is a refusal; "": none is. Refusals are right
  // where one of a problem's answers holds it, and wrong elsewhere; the oracle is not asked.
  std::string refusal = {};
};

// Samples responses to all problems and judges them. Throws Error for bad options, or if the oracle
// fails too often.
Accuracy Evaluate(const RolloutModel& model, const std::vector<Problem>& problems,
                  const Oracle& oracle, const SamplingSettings& sampling,
                  const EvalOptions& options, Progress& progress);

// Loads the model (or connects to the servers of `served`, if it has addresses), the problems and
// their oracle, then evaluates; `problems` say how often the oracle may fail. Throws Error before
// the model is loaded if the oracle cannot read an answer. Keeps the room of SaveScores() in
// `scores`, if it is given, before it begins.
Accuracy EvaluateFile(const ModelSettings& model, const ProblemSettings& problems,
                      const SamplingSettings& sampling, const EvalOptions& options,
                      Progress& progress, data::FileSink* scores = nullptr,
                      const ServedSettings& served = {});

// The accuracy after minus the accuracy before, over the same problems, paired.
struct AccuracyChange {
  MeanInterval sampled, greedy;
};
AccuracyChange Compare(const Accuracy& before, const Accuracy& after);

// Writes one JSON object per problem: id, samples, successes, greedy, refusals, greedy_refused,
// and unanswerable where it is true. Then commits the file.
void SaveScores(const Accuracy& accuracy, data::FileSink& file);
// Reads the problems of such a file; refusals and greedy_refused may be absent. Throws Error that
// names the file and the line.
Accuracy LoadScores(const std::filesystem::path& path);

}  // namespace pivotal::experiments
