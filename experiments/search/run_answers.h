// Apache-2.0. The answers along the responses of a run: their distributions, change points, and
// alternatives grouped by what they mean. Needs no model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "experiments/search/run_config.h"
#include "pivotal/oracle.h"
#include "pivotal/progress.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/answer_strata.h"
#include "pts/answers.h"

namespace pivotal::experiments {

// Reads the answers of a run's rollouts as its oracle reads them. An oracle that runs programs
// knows right and wrong alone, and no program is started. Tokenizer must outlive it.
class AnswersOfRun {
 public:
  // Throws Error if the run's oracle is unknown.
  AnswersOfRun(const RunConfig& config, const Tokenizer& tokenizer);
  pts::AnswerTable Read(const QueryTrace& trace) const;
  // Returns false if the answers are "right" and "wrong".
  bool ReadsAnswers() const { return oracle_ != nullptr; }

 private:
  std::unique_ptr<const Oracle> oracle_;  // none for one that runs programs
  bool matches_ = false;                  // the oracle matches responses with a pattern
  pts::AnswerReader reader_;
};

// Returns the gap of the strata in which a run's answers are estimated, for changes of at least
// `gap`: rollouts were spread over the strata of the run's own gap, and may be read in finer ones.
double StrataGap(const RunConfig& config, double gap);

// Describes a distribution of the answers of `table`, as data/FORMATS.md has it for answers.jsonl.
nlohmann::ordered_json AnswerShares(const pts::AnswerTable& table, std::span<const double> p);

// Describes the answers of `table` without their probabilities.
nlohmann::ordered_json AnswerNames(const pts::AnswerTable& table);

// The distributions of the answers along the responses of one query.
class AnswersAlong {
 public:
  // `gap` is that of the strata (StrataGap). The arguments are read here alone.
  AnswersAlong(const QueryTrace& query, const AnswersOfRun& answers, double gap);
  // Returns false where there is nothing to tell: the oracle knows right and wrong alone, or the
  // query has no rollouts. Nothing else may be called then.
  bool Known() const { return strata_.has_value(); }
  const pts::AnswerTable& table() const { return table_; }
  // Returns the probabilities of the answers after t_1..t_position of a response.
  std::vector<double> After(int32_t response, int32_t position) const;

 private:
  pts::AnswerTable table_;
  std::optional<pts::AnswerStrata> strata_;
};

struct AnswerSettings {
  std::filesystem::path run, output;
  std::vector<std::string> problems;  // ids; empty: all
  std::optional<double> gap;          // least change of a change point; none: the run's gap
};

struct AnswerSummary {
  int64_t responses = 0;
  int64_t changes = 0;      // tokens that are more likely change points than not
  int64_t unseen = 0;       // of these, tokens that the search did not find pivotal
  int64_t pivotal = 0;      // pivotal tokens of the search
  int64_t paraphrased = 0;  // of these, tokens with pts::AnswerForks::HasParaphrases()
  double gap = 0;           // least change of a change point
};

// Writes a line for the prompt and for each token of each response (data/FORMATS.md). Throws Error
// for a problem that the run does not hold, a gap outside (0, 1), and a run without rollouts;
// Interrupted on a stop request.
AnswerSummary WriteAnswers(const AnswerSettings& settings, Progress& progress);

}  // namespace pivotal::experiments
