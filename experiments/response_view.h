// Apache-2.0. Searched responses in a terminal.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "data/trace.h"
#include "pts/pair_choice.h"

namespace pivotal::experiments {

struct ViewOptions {
  double gap = 0.2;
  int32_t width = 80;    // columns
  bool colour = true;    // else pivotal tokens stand in [brackets]
};

// A line per problem: id, p_0, responses, pivotal tokens, the largest change, the question's beginning.
std::string ProblemTable(const std::vector<data::QueryTrace>& traces, const ViewOptions& options);

// A problem with its responses: tokens coloured by the change of p(success), p as a sparkline above them where the run
// knows it, and a line for each pivotal token: p before and after it, its pair or why there is none.
std::string ProblemView(const data::QueryTrace& query, const data::Tokenizer& tokenizer, const ViewOptions& options);

// Pivotal tokens marked, on one line; and a line for each: p before and after it, its pair or why there is none.
// `no_pairs` are those of the response's pivotal tokens under `gap`.
std::string MarkedText(const data::ResponseTrace& response, const data::Tokenizer& tokenizer, bool colour);
std::string PivotalLines(const data::ResponseTrace& response, const data::Tokenizer& tokenizer, double gap,
                         std::span<const pts::NoPair> no_pairs);

}  // namespace pivotal::experiments
