// Apache-2.0. The seam between search and model: what pts sees of a policy. No LibTorch here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "data/progress.h"
#include "data/tokenizer.h"
#include "data/trace.h"
#include "kernels/sample_row.h"

namespace pivotal::model {

// Whether a response ends with its last token, given that it did not end before; see data/stop_strings.h.
// Called often.
using StopRule = std::function<bool(std::span<const TokenId> response)>;

// `count` completions of one prefix. The draws are keyed by (policy seed, stream, first_rollout + i,
// position in the completion), so equal requests give equal rollouts in any batch.
struct RolloutRequest {
  std::vector<TokenId> prefix;    // P_k: prompt and response tokens so far; not empty
  int32_t count = 1;
  int32_t max_new_tokens = 256;   // at least 1
  uint64_t stream = 0;            // identity of (query, node, purpose); see kernels/philox.h
  uint32_t first_rollout = 0;
  // Struck out of the first draw; the others keep their proportions. The log-probability that comes
  // back is the token's under the policy itself. Some probability must be left.
  std::vector<TokenId> excluded = {};
  // What ends a rollout, beside the end of sequence and its length; empty: nothing. The rule sees the last
  // `response_tokens` tokens of the prefix, and the rollout.
  StopRule stop = {};
  int32_t response_tokens = 0;
  std::optional<kernels::SamplingParams> sampling = {};  // nothing: the policy's own
};

struct Rollout {
  std::vector<TokenId> tokens;   // sampled tokens, EOS included
  std::vector<float> logprobs;   // of each token under the policy that it was drawn from, natural log
  data::FinishReason finish = data::FinishReason::kEos;
};

// Called as rollouts end: (request, rollout within the request, the rollout). It may be called while
// others decode and must not call the policy.
using RolloutSink = std::function<void(std::size_t, int32_t, const Rollout&)>;

// The token itself and the most probable other token, under the sampling policy.
struct TokenScore {
  float logprob = 0;            // -inf if the policy cannot sample the token
  TokenId runner_up = -1;       // most probable token that is not this one
  float runner_up_logprob = 0;
  float entropy = 0;            // of the whole distribution, in nats
};

// Where the time of forward passes goes, in seconds of all threads together.
struct PassTimes {
  double products = 0, attention = 0, sampling = 0;
  double rest = 0;  // norms, positions, activations, waiting for one another
  double total() const { return products + attention + sampling + rest; }
  PassTimes operator-(const PassTimes& earlier) const {
    return {products - earlier.products, attention - earlier.attention, sampling - earlier.sampling, rest - earlier.rest};
  }
};

struct RolloutCounters {
  int64_t rollouts = 0;
  int64_t decoded_tokens = 0;     // sampled tokens
  int64_t prefilled_tokens = 0;   // prefix tokens run through the model
  int64_t reused_tokens = 0;      // prefix tokens that an earlier request or call had run already
  int64_t repeated_tokens = 0;    // last tokens of prefixes, run again for what follows them
  double seconds = 0;             // wall time inside Sample
  double prefill_seconds = 0, decode_seconds = 0;  // of it, in forward passes and draws
  PassTimes times;
};

// A sampling policy pi. Not thread-safe. Implementations: model/rollout_engine.h, and the Markov
// chain of the tests, whose success probabilities are known.
class Policy {
 public:
  virtual ~Policy() = default;

  // Runs all requests in one continuous batch; result[i] has requests[i].count rollouts, in order.
  // Calls progress.StopRequested() between steps and throws Interrupted when it says so. `finished`
  // may be empty.
  virtual std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                                   const Progress& progress,
                                                   const RolloutSink& finished = {}) = 0;

  // Scores continuation[i] given prefix + continuation[0..i-1], from one forward pass.
  virtual std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                        std::span<const TokenId> continuation) = 0;

  // Totals since construction.
  virtual const RolloutCounters& counters() const = 0;
};

}  // namespace pivotal::model
