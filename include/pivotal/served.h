// Apache-2.0. A policy that other programs serve: vLLM, SGLang, llama.cpp's server, or another one
// with OpenAI's completions and token ids.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pivotal/policy.h"
#include "pivotal/progress.h"
#include "pivotal/sampling.h"
#include "pivotal/tokenizer.h"

namespace pivotal {

// Where a model is served, and how it is asked.
struct ServedSettings {
  // Addresses such as "http://127.0.0.1:8000/v1". Several serve the same model and share the load;
  // one that fails is left out for a while.
  std::vector<std::string> urls;
  std::string model;            // name of the model there; "": the only one that there is
  std::string server = "auto";  // "auto" (asked at the start) or a name of kServers
  int32_t concurrency = 64;     // requests in flight, over all addresses; 1 or more
  double timeout = 600;         // seconds for one request; above 0
  double give_up = 300;  // seconds without an answer of any address before work ends; above 0
  // Throws Error that names the field and its range, or the address that is none.
  void Validate() const;
};

// The servers that are known; "openai" stands for others with /v1/completions and return_token_ids.
inline constexpr std::array<const char*, 4> kServers = {"vllm", "sglang", "llama.cpp", "openai"};

// What the log-probabilities that a server returns are of.
enum class ServedLogprobs {
  kRaw,       // of the model, at temperature 1 and without cuts
  kTempered,  // with the temperature applied, without top-k, top-p and min-p
  kPolicy,    // of the distribution that the token was drawn from
};

// What was found out about the servers at the start.
struct ServedFacts {
  std::string server;         // one of kServers
  std::string version;        // as the server gives it; "": it does not
  std::string model;          // name of the model
  int64_t max_positions = 0;  // longest sequence, in tokens; 0: the server does not say
  ServedLogprobs logprobs = ServedLogprobs::kRaw;
  bool logprobs_after_bias = false;  // logit_bias changes the log-probabilities
  bool bias_bans = false;            // a token with a low logit_bias is not drawn
  bool seeds = false;                // equal requests gave equal tokens, another seed others
};

// A sequence whose tokens after the first `prefix` ones are to be scored.
struct ScoreRequest {
  std::vector<TokenId> prefix, continuation;
};

// A policy of a served model. Rollouts are exact: each token is drawn by the server from the
// distribution of the sampling parameters and comes back with its log-probability under them, or
// Connect() refuses the server and says why. What an answer can show to be wrong (ids outside the
// vocabulary, other lengths, impossible log-probabilities, broken JSON) is a fault: the request is
// sent again, as after a broken connection, a time-out, or status 429 or 5xx, to another address
// if there is one. A rollout counts once, whatever was sent for it.
//
// A rollout depends on the seeds of its request as far as the server keeps to them
// (ServedFacts::seeds).
//
// The key for servers that want one is the environment variable PIVOTAL_API_KEY.
class ServedPolicy : public Policy {
 public:
  struct Options {
    SamplingParams sampling = {};
    uint64_t seed = 1;
    std::vector<std::string> stop = {};    // texts that end a response; the stop rule decides
    std::vector<TokenId> end_tokens = {};  // known to end a sequence, beside the tokenizer's
    int32_t portion = 0;  // ask for at most this many tokens of a rollout at once; 0: for all
    // Receives the tokens of each answer as it comes: (request, rollout, tokens that are new).
    std::function<void(std::size_t, int32_t, std::span<const TokenId>)> on_tokens = {};
  };

  // Asks every server what it is and whether it can serve `options` exactly. The tokenizer must
  // outlive the policy. Throws Error that says what is missing and how to get it; Interrupted on a
  // stop request.
  static std::unique_ptr<ServedPolicy> Connect(const ServedSettings& settings,
                                               const Tokenizer& tokenizer, Options options,
                                               const Progress& progress = {});

  virtual const ServedFacts& facts() const = 0;

  // Returns the scores of all requests, many at once, under the model itself (temperature 1, no
  // cuts). TokenScore::entropy is NaN: servers do not tell it.
  virtual std::vector<std::vector<TokenScore>> ScoreAll(std::span<const ScoreRequest> requests,
                                                        const Progress& progress) = 0;
};

}  // namespace pivotal
