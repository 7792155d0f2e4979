// Apache-2.0. Pairs of whole responses, of the rollouts that a search drew from the prompts.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/preference_pair.h"
#include "data/tokenizer.h"
#include "data/trace.h"

namespace pivotal::pts {

// How many at most, and what shuffles the rollouts. Pairs are spread over the queries: each gives its first before any
// gives a second. No text stands twice on a side of a query's pairs.
struct ResponsePairOptions {
  int32_t count = 0;
  uint64_t seed = 1;
};

// A right and a wrong response to a searched query. `source` is "full".
std::vector<data::PreferencePair> BuildFullPairs(std::span<const data::QueryTrace> queries,
                                                 const data::Tokenizer& tokenizer, const ResponsePairOptions& options);

// A response's worth, the higher the better; nothing where there is none. Called from several threads at once.
using ResponseScore =
    std::function<std::optional<double>(const data::QueryTrace& query, std::span<const TokenId> response)>;

// The better and the worse response by a judge, as the judge-guided DPO of the Phi-4 report: of each query, searched or
// not, `responses` different rollouts (shuffled) are scored; the best stands against the worst, the second against the second to
// last, ... while they are `margin` apart, more than 0. `source` is "judged".
struct JudgedPairOptions : ResponsePairOptions {
  int32_t responses = 8;
  double margin = 1;
  int32_t threads = 1;  // that ask for scores
};
std::vector<data::PreferencePair> BuildJudgedPairs(std::span<const data::QueryTrace> queries,
                                                   const data::Tokenizer& tokenizer, const ResponseScore& score,
                                                   const JudgedPairOptions& options);

// One pair a query against making answers up, as in the Phi-4 report: where some rollouts were right, a right one is chosen over
// `refusal` ("I don't know."); where none was, `refusal` is chosen over a wrong one. The two kinds in turn as far as there
// are both, queries in an order shuffled by the seed. None where all wrong rollouts are the refusal. `refusal` ends as the query's rollouts do. `source` is "refusal".
// Throws Error for a refusal without tokens.
std::vector<data::PreferencePair> BuildRefusalPairs(std::span<const data::QueryTrace> queries,
                                                    const data::Tokenizer& tokenizer, const std::string& refusal,
                                                    const ResponsePairOptions& options);

}  // namespace pivotal::pts
