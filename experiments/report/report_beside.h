// Apache-2.0. Two runs of the same problems on one page, as before and after training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <vector>

#include "experiments/report/report_run.h"
#include "pivotal/trace.h"

namespace pivotal::experiments {

// The problems of another run beside those of a run. Two problems are the same if they have the
// same prompt, token for token, and the same reference answer: p(success) is a property of these,
// and ids may be no more than line numbers. Among several such problems equal ids decide.
class ReportBeside {
 public:
  // Throws Error if the tokenizers name a token differently, or no problem is in both runs. `run`
  // must outlive the object.
  ReportBeside(const ReportRun& run, const std::filesystem::path& beside);

  // Adds `beside` to the entry of one of the run's problems in the list and to the problem in its
  // block (experiments/report/page/DATA.md); null if the other run has no such problem.
  void Add(const QueryTrace& query, nlohmann::ordered_json& row,
           nlohmann::ordered_json& problem) const;
  // Returns `beside` of the summary.
  nlohmann::ordered_json Summary() const;
  int64_t both() const { return std::ssize(pairs_); }

 private:
  void RequireSameTokens() const;
  void Pair();
  nlohmann::ordered_json DifferingSettings() const;

  const ReportRun& run_;
  ReportRun beside_;
  std::unordered_map<const QueryTrace*, const QueryTrace*> pairs_;  // of the run -> of the other
};

}  // namespace pivotal::experiments
