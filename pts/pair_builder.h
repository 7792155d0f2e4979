// Apache-2.0. Which pivotal tokens give a preference pair, why others give none, and what control
// pairs are called.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/base/names.h"
#include "pivotal/pairs.h"
#include "pivotal/trace.h"

namespace pivotal::pts {

// Why a pivotal token gives no pair.
enum class NoPair : uint8_t {
  kNone,         // it gives a pair
  kNoOther,      // rollouts sampled no token that could be the other side
  kNotMeasured,  // a side has no fresh rollouts
  kSmallDelta,   // the change of p is below min_delta
  kSmallGap,     // chosen minus rejected on fresh rollouts is below the gap, or negative
  kNotApart,     // chosen is not better than rejected at min_confidence
  kRepeated,     // an earlier response of the query gives the same prefix, chosen and rejected
  kOverLimit     // its response gives max_pairs_per_response pairs of larger difference
};

// Returns why a token gives no pair, judged by itself: never kRepeated or kOverLimit.
NoPair WhyNoPair(const PivotalToken& token, const PairOptions& options);

// Returns the reasons of all pivotal tokens of a query: [response][index in
// ResponseTrace::pivotal].
std::vector<std::vector<NoPair>> WhyNoPairs(const QueryTrace& query, const PairOptions& options);

// Returns the number of pairs that BuildPairs makes of a query by its default options.
int64_t PairsIn(const QueryTrace& query);

// Returns the reason in words, as "sides differ by 0.12 on fresh rollouts, 0.2 asked for"; "" for
// kNone.
std::string TextOf(NoPair reason, const PivotalToken& token, const PairOptions& options);

inline constexpr auto kControlNames = data::MakeNameTable<ControlKind>(
    "control pair", {{ControlKind::kRandom, "random"},
                     {ControlKind::kEntropy, "entropy"},
                     {ControlKind::kLowProbability, "low-probability"}});

}  // namespace pivotal::pts
