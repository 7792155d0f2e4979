// Apache-2.0. One problem on the page of a run.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/report/report_answers.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"

namespace pivotal::experiments {

// [response][pivotal token]: why the token gives no pair; empty if it gives one.
using NoPairTexts = std::vector<std::vector<std::string>>;

// Returns why the pivotal tokens of a problem give no pairs, under the gap of its run.
NoPairTexts NoPairTextsOf(const QueryTrace& query, double gap);

// Return the problem of a block, and its entry in the list, as experiments/report/page/DATA.md
// defines them. The entry has no `block` and `index`.
nlohmann::ordered_json ReportProblem(const QueryTrace& query, const Tokenizer& tokenizer,
                                     const NoPairTexts& no_pairs, const ReportAnswers& answers);
nlohmann::ordered_json ReportRow(const QueryTrace& query);

}  // namespace pivotal::experiments
