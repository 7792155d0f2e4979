// Apache-2.0. How each kind of server is asked for completions, and how it answers.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/base/names.h"
#include "pivotal/sampling.h"
#include "pivotal/served.h"
#include "pivotal/tokenizer.h"
#include "pts/served/server_pool.h"

namespace pivotal::pts {

enum class ServerKind { kVllm, kSglang, kLlamaCpp, kOpenAi };

inline constexpr auto kServerNames =
    data::MakeNameTable<ServerKind>("server", {{ServerKind::kVllm, kServers[0]},
                                               {ServerKind::kSglang, kServers[1]},
                                               {ServerKind::kLlamaCpp, kServers[2]},
                                               {ServerKind::kOpenAi, kServers[3]}});

// Returns true if tokens are drawn from the model's own distribution.
inline bool IsPlain(const SamplingParams& sampling) {
  return sampling.temperature == 1 && sampling.top_k == 0 && sampling.top_p == 1 &&
         sampling.min_p == 0;
}
// Returns true if top-k, top-p or min-p takes tokens away.
inline bool Cuts(const SamplingParams& sampling) {
  return sampling.top_k != 0 || sampling.top_p != 1 || sampling.min_p != 0;
}

// A token and its log-probability.
using RatedToken = std::pair<TokenId, float>;

// Asks for `count` completions of a prompt.
struct CompletionCall {
  std::vector<TokenId> prompt;  // not empty
  int32_t count = 1;            // above 1 for servers with SeveralPerRequest() alone
  int32_t max_tokens = 1;
  uint64_t seed = 0;  // of the first completion; the next ones have the numbers that follow
  SamplingParams sampling = {};
  std::vector<std::pair<TokenId, double>> bias = {};  // added to logits before anything else
  std::vector<std::string> stop = {};
  bool logprobs = true;  // of the tokens that are drawn
  int32_t top = 0;       // the most probable tokens of the first place to list; 0: none
};

enum class CompletionEnd { kEos, kLength, kStopText };

struct Completion {
  std::vector<TokenId> tokens;  // EOS included
  // Of each, if the call asks for them. NaN where llama.cpp's server leaves one out: of tokens that
  // end within a character, and of the last tokens before a stop text.
  std::vector<float> logprobs;
  CompletionEnd end = CompletionEnd::kEos;
  // Most probable first; tokens of probability 0 are left out. Empty where the first
  // log-probability is NaN.
  std::vector<RatedToken> top;
};

struct CompletionAnswer {
  std::vector<Completion> completions;
  int64_t cached_tokens = 0;  // of the prompt, as far as the server says
};

// One server, asked in the way of its kind. Objects are immutable.
class Dialect {
 public:
  // `model`: its name there. `vocabulary`: ids are below it.
  Dialect(ServerKind kind, std::string model, int32_t vocabulary)
      : kind_(kind), model_(std::move(model)), vocabulary_(vocabulary) {}

  ServerKind kind() const { return kind_; }
  // Returns true if one request may ask for several completions with seeds of their own.
  bool SeveralPerRequest() const { return kind_ == ServerKind::kVllm; }
  // Returns the number of bits of a seed.
  int SeedBits() const;
  // Returns the most tokens that CompletionCall::top may ask for without a setting of the server.
  int32_t LongestTop() const { return kind_ == ServerKind::kOpenAi ? 5 : 20; }
  // Returns a bias after which a token is not drawn.
  double Ban() const;

  // Returns true if log-probabilities are asked for as they are after all of the sampling, which
  // llama.cpp's server offers beside those of the model.
  bool AfterSampling(const SamplingParams& sampling) const {
    return kind_ == ServerKind::kLlamaCpp && !IsPlain(sampling);
  }

  ServerRequest Request(const CompletionCall& call) const;
  // Throws BadAnswer if the answer is not one to `call`.
  CompletionAnswer Read(const CompletionCall& call, const nlohmann::json& answer) const;

  // Return the request that scores `sequence` from token `from` on, and read its scores: of each
  // token, and of its strongest rivals. llama.cpp has no such request.
  bool ScoresPrompts() const { return kind_ != ServerKind::kLlamaCpp; }
  ServerRequest ScoreCall(std::span<const TokenId> sequence, std::size_t from) const;
  std::vector<TokenScore> ReadScores(std::span<const TokenId> sequence, std::size_t from,
                                     const nlohmann::json& answer) const;

 private:
  CompletionAnswer ReadOpenAi(const CompletionCall& call, const nlohmann::json& answer) const;
  CompletionAnswer ReadSglang(const CompletionCall& call, const nlohmann::json& answer) const;
  CompletionAnswer ReadLlamaCpp(const CompletionCall& call, const nlohmann::json& answer) const;
  TokenId ReadToken(const nlohmann::json& value) const;
  // Throws BadAnswer if `completion` cannot be one of `call`.
  void Check(const CompletionCall& call, const Completion& completion) const;

  ServerKind kind_;
  std::string model_;
  int32_t vocabulary_;
};

// Returns object[key] where that is a whole number above 0; else 0.
int64_t OptionalCount(const nlohmann::json& object, const char* key);

// Returns how `token` stands among the others of its place, which `others` lists.
TokenScore ScoreOf(float logprob, TokenId token, const std::vector<RatedToken>& others);

}  // namespace pivotal::pts
