// Apache-2.0. A run as its page shows it: everything that was stored, and what reads it.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/report/report_problem.h"
#include "experiments/search/run_answers.h"
#include "experiments/search/run_config.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"

namespace pivotal::experiments {

// Returns the name of a folder, also for paths that end in "/" or "..".
std::string NameOf(const std::filesystem::path& folder);

struct ReportRun {
  // Reads a run folder and the tokenizer of its model. Throws Error if either cannot be read.
  explicit ReportRun(const std::filesystem::path& run);
  // Takes `stored`, what the run folder has stored or a part of it, in place of reading it.
  ReportRun(const std::filesystem::path& run, std::vector<QueryTrace> stored);

  double gap() const { return config.search.gap; }
  // Returns the two-sided normal quantile of the run's confidence.
  double z() const;
  // Returns the problem of a block (experiments/report/page/DATA.md).
  nlohmann::ordered_json Problem(const QueryTrace& query, const NoPairTexts& no_pairs) const;

  std::filesystem::path folder;
  std::string name;
  RunConfig config;
  std::unique_ptr<const Tokenizer> tokenizer;
  AnswersOfRun answers;
  std::vector<QueryTrace> traces;
};

}  // namespace pivotal::experiments
