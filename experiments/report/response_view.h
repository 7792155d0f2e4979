// Apache-2.0. Searched responses as text for a terminal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/pair_builder.h"

namespace pivotal::experiments {

// Returns a view of a run in `width` columns. Without `problems`, a line for each problem: id, p_0,
// number of responses and of pivotal tokens, the largest change of p(success), the beginning of the
// question. With ids of problems, their responses: tokens coloured by the change of p(success), a
// sparkline of p above them where the run measured it, and PivotalLines() with the tokens that may
// stand there, grouped by what they mean for the answer. Needs the tokenizer of the run's model
// then. A `max_false_share` below 1 leaves out tokens that LoadFindings() does not keep, and says
// how many. Throws Error for an unknown id.
std::string RunView(const std::filesystem::path& run, const std::vector<std::string>& problems,
                    int32_t width, bool colour, double max_false_share = 1);

// Returns the same as one JSON object (data/FORMATS.md): without `problems` an entry for each
// problem, with them what the page of a run holds of each.
std::string RunJson(const std::filesystem::path& run, const std::vector<std::string>& problems,
                    double max_false_share = 1);

// Returns the text of a response with its pivotal tokens marked by colour or [brackets].
std::string MarkedText(const ResponseTrace& response, const Tokenizer& tokenizer, bool colour);

// Returns one line for each pivotal token: p(success) before and after it, and its pair or why it
// has none. `no_pairs` is this response's part of pts::WhyNoPairs() under `gap`. `below` is empty
// or has what follows the line of each token.
std::string PivotalLines(const ResponseTrace& response, const Tokenizer& tokenizer, double gap,
                         std::span<const pts::NoPair> no_pairs,
                         std::span<const std::string> below = {});

}  // namespace pivotal::experiments
