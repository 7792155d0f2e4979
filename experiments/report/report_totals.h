// Apache-2.0. What the page of a run counts over all its problems.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <vector>

#include "experiments/report/report_problem.h"
#include "pivotal/trace.h"
#include "pts/estimate.h"

namespace pivotal::experiments {

// Sums over the problems of a run, in the terms of experiments/report/page/DATA.md.
class ReportTotals {
 public:
  void Add(const QueryTrace& query, const NoPairTexts& no_pairs);

  int64_t pivotal() const { return pivotal_; }
  // Returns `facts`: always the same names, so that the tiles of two pages can be compared.
  nlohmann::ordered_json Facts() const;
  nlohmann::ordered_json Histogram() const;
  // Returns `pivotal_share`.
  nlohmann::ordered_json PivotalTokens() const;
  // Compares p(success) after pivotal tokens, as the search estimated it, with fresh rollouts: one
  // entry for each tenth of p.
  nlohmann::ordered_json Calibration() const;

 private:
  static constexpr int kBins = 40, kCalibrationBins = 10;
  struct Bin {
    int32_t count = 0;
    double expected = 0;
    pts::Estimate fresh;
  };

  void Add(const ResponseTrace& response);

  int64_t problems_ = 0, searched_ = 0, responses_ = 0, right_ = 0, tokens_ = 0, pivotal_ = 0,
          pairs_ = 0;
  int64_t rollouts_ = 0, generated_ = 0, prefilled_ = 0;
  double seconds_ = 0, expected_false_ = 0;
  std::array<int64_t, kBins> deltas_{};
  std::array<Bin, kCalibrationBins> calibration_{};
};

}  // namespace pivotal::experiments
