// Apache-2.0. From traces to preference pairs; needs no model.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/preference_pair.h"
#include "data/tokenizer.h"
#include "data/trace.h"
#include "model/policy.h"
#include "pts/pair_choice.h"

namespace pivotal::pts {

// A pair per pivotal token whose two sides differ by `gap`, and measurably, on fresh rollouts; the
// trunk token is chosen where it raised p and rejected where it lowered it. Equal (prompt_ids,
// chosen, rejected) within a query are written once. Ascending order of query, response, position.
std::vector<data::PreferencePair> BuildPairs(std::span<const data::QueryTrace> queries,
                                             const data::Tokenizer& tokenizer,
                                             const PairOptions& options);

// What pairs may be made of in place of pivotal tokens.
enum class ControlKind {
  kRandom,         // positions drawn uniformly
  kEntropy,        // where the policy is least certain of the next token
  kLowProbability  // whose token the policy held for least likely
};
// "random", "entropy", "low-probability"; in the order of the kinds.
std::vector<std::string> ControlNames();
// Throws Error that lists the names.
ControlKind ParseControl(const std::string& name);

// A control: `count` pairs at positions of searched responses. The trunk token is chosen where the response is
// right and rejected where it is wrong; the other side is the policy's most probable other token. No
// estimates; `source` is the kind's name. Fewer than `count` if the traces hold fewer tokens. `seed` is of kRandom.
std::vector<data::PreferencePair> BuildControlPairs(std::span<const data::QueryTrace> queries,
                                                    const data::Tokenizer& tokenizer, model::Policy& policy,
                                                    ControlKind kind, int32_t count, uint64_t seed);

}  // namespace pivotal::pts
