// Apache-2.0. The demo's closing table and its coloured responses, as text.
#pragma once

#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "data/trace.h"
#include "experiments/demo.h"

namespace pivotal::experiments {

// Held-out accuracy before and after with 95% intervals, their paired difference, and what the
// search cost.
std::string DemoTable(const DemoResult& result);

// The first `count` queries that gave a pair: question, response with the pivotal tokens coloured (green
// raised p(success), red lowered it; in [brackets] without colour), and for each one p before and after,
// and the pair it gave or why there is none.
std::string DemoResponses(const std::vector<data::QueryTrace>& traces,
                          const data::Tokenizer& tokenizer, double gap, int count, bool colour);

}  // namespace pivotal::experiments
