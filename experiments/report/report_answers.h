// Apache-2.0. What the page of a run tells of the answers of its rollouts.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "experiments/search/run_answers.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/answer_groups.h"
#include "pts/answer_strata.h"
#include "pts/answers.h"

namespace pivotal::experiments {

// Describes the answers of one query in the terms of experiments/report/page/DATA.md. There is
// nothing to tell of a query that has no rollouts, as imported ones. All arguments must outlive it.
class ReportAnswers {
 public:
  // `gap` is that of the search, and `z` the two-sided normal quantile of its confidence.
  ReportAnswers(const QueryTrace& query, const AnswersOfRun& answers, double gap, double z,
                const Tokenizer& tokenizer);

  // Return `answers` of the problem and of one response: what is answered, and its distribution
  // after each prefix. Both are null if the oracle knows right and wrong alone.
  nlohmann::ordered_json Names() const;
  nlohmann::ordered_json Along(int32_t response) const;
  // Adds `q`, `q_other` and `groups` to the entry of a pivotal token, which is at `position`.
  void AddForks(int32_t response, int32_t position, nlohmann::ordered_json& entry) const;

 private:
  nlohmann::ordered_json Shares(const std::vector<double>& weights) const;
  nlohmann::ordered_json Described(const pts::AnswerEstimate& estimate) const;
  nlohmann::ordered_json Described(const pts::AnswerGroup& group) const;

  const QueryTrace& query_;
  double z_;
  const Tokenizer& tokenizer_;
  pts::AnswerTable table_;
  std::optional<pts::AnswerStrata> strata_;
  bool stated_ = false;  // answers are more than right and wrong
};

}  // namespace pivotal::experiments
