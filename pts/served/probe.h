// Apache-2.0. Finds out at the start what servers are and how exactly they can serve.
#pragma once

#include <string>

#include "pivotal/progress.h"
#include "pivotal/sampling.h"
#include "pivotal/served.h"
#include "pivotal/tokenizer.h"
#include "pts/served/server_pool.h"

namespace pivotal::pts {

// Returns the key of the environment variable PIVOTAL_API_KEY; "" if there is none. Throws Error,
// which does not show it, for a key that a header cannot hold.
std::string ApiKey();

// Asks every server of the pool what it is, and by a few short completions what its answers mean.
// Throws Error if one cannot serve `sampling` exactly, or differs from the others.
ServedFacts Probe(ServerPool& pool, const ServedSettings& settings, const Tokenizer& tokenizer,
                  const SamplingParams& sampling, const Progress& progress);

// Throws Error, with a remedy, if the log-probabilities that the server returns are not those of
// the distribution of `sampling`.
void RequireLogprobs(const ServedFacts& facts, const SamplingParams& sampling);

}  // namespace pivotal::pts
