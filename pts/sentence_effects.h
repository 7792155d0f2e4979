// Apache-2.0. What the sentences of a response change: p(success), and which sentences follow.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "pts/completion_shares.h"

namespace pivotal::pts {

// The sentences of a completion.
struct CompletionSentences {
  std::vector<int32_t> ends;  // ascending: the last token of each, counted from 1
  std::vector<int32_t> says;  // what each says: equal numbers are equal texts
};

// Returns true if two sentences say the same. It need not carry over from one pair to another.
using SaysTheSame = std::function<bool(int32_t a, int32_t b)>;

// A text that rollouts had in place of a sentence.
struct OtherSentence {
  int32_t says = 0;
  int32_t rollouts = 0, successes = 0;
};

// The effects of sentence a, t_(begin+1)..t_end of a response. "With a" are completions of P_end;
// "without a" are those completions of P_begin that do not pass P_end and whose sentence at a's
// place says something else (Thought Anchors, arXiv 2506.19143, resample it in the same way). The
// sentence at a's place is the first that ends after t_begin; the later ones follow it.
struct SentenceEffect {
  int32_t begin = 0, end = 0;
  // p(success) at both ends, and its change with its interval: resampling importance.
  double before = 0, after = 0, change = 0, low = -1, high = 1;
  // p(success) with a, and without it: counterfactual importance. Nothing where few rollouts are
  // without a.
  std::optional<ShareContrast> success;
  // Without a, how often a later sentence says the same as a: it comes back.
  std::optional<ShareEstimate> resilience;
  // For each later sentence b of the response, how often a later sentence of a completion says the
  // same as b, with and without a: how much b depends on a. For others, nothing.
  std::vector<std::optional<ShareContrast>> on;
  std::vector<OtherSentence> others;  // most rollouts first
};

// Returns the effects of all sentences of a response. `sentences` has those of every completion, by
// its number. Intervals are at the two-sided normal quantile `z`.
std::vector<SentenceEffect> SentenceEffects(const CompletionShares& shares, int32_t response,
                                            std::span<const CompletionSentences> sentences,
                                            const SaysTheSame& same, double z);

}  // namespace pivotal::pts
