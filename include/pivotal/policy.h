// Apache-2.0. The policy: what a search sees of a model. Any sampler can be one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pivotal/progress.h"
#include "pivotal/sampling.h"
#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"

namespace pivotal {

// Returns true if a response ends with its last token, given that it did not end before. The engine
// calls it after every token.
using StopRule = std::function<bool(std::span<const TokenId> response)>;

// Returns a rule that ends a response once its decoded text holds one of `texts`; an empty rule for
// no texts. The tokenizer must outlive the rule.
StopRule MakeStopRule(const Tokenizer& tokenizer, const std::vector<std::string>& texts);

// Asks for `count` completions of one prefix. Random draws are keyed by (policy seed, stream,
// first_rollout + i, position in the completion), so equal requests give equal rollouts in any
// batch.
struct RolloutRequest {
  std::vector<TokenId> prefix;   // P_k: prompt and response tokens so far; not empty
  int32_t count = 1;             // number of completions
  int32_t max_new_tokens = 256;  // longest completion; at least 1
  uint64_t stream = 0;           // identity of (query, node, purpose)
  uint32_t first_rollout = 0;    // index of the first completion within the stream
  // Tokens that the first draw excludes; the other tokens keep their proportions. The
  // log-probability that comes back is the token's under the policy without exclusion. Some
  // probability must remain.
  std::vector<TokenId> excluded = {};
  // Ends a rollout beside the end of sequence and the length. The rule sees the last
  // `response_tokens` tokens of the prefix, followed by the rollout.
  StopRule stop = {};
  int32_t response_tokens = 0;
  std::optional<SamplingParams> sampling = {};  // none: the policy's own
};

// One completion.
struct Rollout {
  std::vector<TokenId> tokens;  // sampled tokens, EOS included
  std::vector<float>
      logprobs;  // of each token under the policy it was drawn from, natural logarithm
  FinishReason finish = FinishReason::kEos;
};

// Receives rollouts as they end: (index of the request, rollout within the request, the rollout).
// It may be called while other rollouts decode, and must not call the policy.
using RolloutSink = std::function<void(std::size_t, int32_t, const Rollout&)>;

// The score of one token and of its strongest rival, under the sampling policy.
struct TokenScore {
  float logprob = 0;       // natural logarithm; -inf if the policy cannot sample the token
  TokenId runner_up = -1;  // the most probable token that is not this one
  float runner_up_logprob = 0;
  float entropy = 0;  // of the whole distribution, in nats
};

// Where the time of forward passes goes, in seconds summed over all threads.
struct PassTimes {
  double products = 0, attention = 0, sampling = 0;
  double rest = 0;  // norms, positions, activations, and waiting of threads for one another
  double total() const { return products + attention + sampling + rest; }
  PassTimes operator-(const PassTimes& earlier) const {
    return {products - earlier.products, attention - earlier.attention, sampling - earlier.sampling,
            rest - earlier.rest};
  }
};

// Totals of a policy since its construction.
struct RolloutCounters {
  int64_t rollouts = 0;
  int64_t decoded_tokens = 0;    // sampled tokens
  int64_t prefilled_tokens = 0;  // prefix tokens run through the model
  int64_t reused_tokens = 0;     // prefix tokens that an earlier request or call had already run
  int64_t repeated_tokens = 0;   // last tokens of prefixes, run again to predict what follows them
  // Drawn and not used: after an end that was noticed late, or in a place where the request
  // excludes them.
  int64_t discarded_tokens = 0;
  int64_t requests = 0;         // sent to servers (pivotal/served.h)
  int64_t failed_requests = 0;  // of them, those that were sent again
  double seconds = 0;           // wall time inside Sample
  double prefill_seconds = 0;   // part of `seconds` spent on prefixes
  double decode_seconds = 0;    // part of `seconds` spent on decoding and sampling
  PassTimes times;
};

// A sampling policy pi. Objects are not thread-safe.
class Policy {
 public:
  virtual ~Policy() = default;

  // Runs all requests in one continuous batch. result[i] holds requests[i].count rollouts, in
  // order. Calls progress.StopRequested() between steps and throws Interrupted when it says so.
  // `finished` may be empty; otherwise the policy reports each rollout to it, so that responses are
  // judged while others decode. A search judges what was not reported after the batch.
  virtual std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                                   const Progress& progress,
                                                   const RolloutSink& finished = {}) = 0;

  // Returns the score of each continuation[i] given prefix + continuation[0..i-1]. The prefix is
  // not empty.
  virtual std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                        std::span<const TokenId> continuation) = 0;

  // Returns the totals since construction, for people to see; a search counts for itself. A policy
  // that keeps none returns zeros.
  virtual RolloutCounters counters() const { return {}; }
};

// Tokens that may come next, each with its probability.
using TokenChoices = std::vector<std::pair<TokenId, double>>;

// Returns the tokens that may follow `prefix` with their probabilities. They need not sum to 1: the
// policy normalises them. Tokens that are not listed have probability 0.
using NextTokenDistribution = std::function<TokenChoices(std::span<const TokenId> prefix)>;

struct PolicyOfOptions {
  std::vector<TokenId> end_tokens = {0};  // end a rollout (FinishReason::kEos)
  uint64_t seed = 1;
  SamplingParams sampling = {};  // applied to the distribution, as a model's sampler would
};

// Makes a policy of a distribution. It draws with the seeds of the requests, excludes tokens from
// first draws, applies sampling parameters, stops at end tokens, stop rules and length limits, and
// keeps the counters. Sample and Score throw Error if the distribution is empty, repeats a token,
// or holds a negative token or a probability that is negative or not finite, if a prefix is empty
// or if nothing is left to draw. They let through what the function throws.
std::unique_ptr<Policy> PolicyOf(NextTokenDistribution next, PolicyOfOptions options = {});

}  // namespace pivotal
