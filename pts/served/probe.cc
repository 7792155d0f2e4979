// Apache-2.0.
#include "pts/served/probe.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "data/base/error.h"
#include "pts/served/dialect.h"

namespace pivotal::pts {
namespace {

using nlohmann::json;

// A difference of log-probabilities below this is rounding: servers compute in 16 bits.
constexpr double kClose = 0.1;

std::string TextAt(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string()
             ? object[key].get<std::string>()
             : "";
}

// Asks one server.
class Prober {
 public:
  Prober(ServerPool& pool, std::size_t address, const Tokenizer& tokenizer,
         const Progress& progress)
      : pool_(pool), address_(address), tokenizer_(tokenizer), progress_(progress) {
    if (tokenizer.adds_bos() && tokenizer.bos() >= 0) prompt_.push_back(tokenizer.bos());
    for (const TokenId token : tokenizer.Encode("The result of 3 + 4 is")) prompt_.push_back(token);
    if (prompt_.empty()) prompt_.push_back(0);
  }

  ServedFacts Run(const ServedSettings& settings, const SamplingParams& sampling) {
    Identify(settings);
    const Dialect dialect(kServerNames.Parse(facts_.server), facts_.model, tokenizer_.VocabSize());
    RequireIds(dialect);
    FindLogprobs(dialect);
    FindBias(dialect);
    FindSeeds(dialect);
    try {
      RequireLogprobs(facts_, sampling);
    } catch (const Error& error) {
      Fail("{}: {}", pool_.url(address_), error.what());
    }
    return facts_;
  }

 private:
  json Get(const std::string& path) {
    return pool_.Ask(address_, {path, "", 0}, progress_, /*may_lack=*/true);
  }

  CompletionAnswer Complete(const Dialect& dialect, const CompletionCall& call) {
    const json answer = pool_.Ask(address_, dialect.Request(call), progress_);
    try {
      return dialect.Read(call, answer);
    } catch (const BadAnswer& bad) {
      Fail("{}: this server cannot be used as {}: {}", pool_.url(address_), facts_.server,
           bad.what());
    }
  }

  // Finds kind, version, model and longest sequence.
  void Identify(const ServedSettings& settings) {
    const json models = Get("/v1/models");
    std::vector<std::string> names;
    std::string owner;
    if (models.is_object() && models.contains("data") && models["data"].is_array()) {
      for (const json& model : models["data"]) {
        names.push_back(TextAt(model, "id"));
        if (!settings.model.empty() && names.back() != settings.model) continue;
        owner = TextAt(model, "owned_by");
        facts_.max_positions = OptionalCount(model, "max_model_len");
      }
    }
    if (names.empty() && settings.server == "auto")
      Fail(
          "{}: no model server that is known answers there: nothing comes from /v1/models; write "
          "the address as http://HOST:PORT/v1, or say by --server what it is",
          pool_.url(address_));
    facts_.server = settings.server != "auto" ? settings.server
                    : owner == "vllm"         ? "vllm"
                    : owner == "sglang"       ? "sglang"
                    : owner == "llamacpp"     ? "llama.cpp"
                                              : "openai";
    facts_.model = settings.model;
    if (facts_.model.empty() && names.size() == 1) facts_.model = names[0];
    if (facts_.model.empty() && facts_.server != "sglang" && facts_.server != "llama.cpp")
      Fail("{}: name the model with --served-model{}", pool_.url(address_),
           names.empty() ? "; the server lists none"
                         : fmt::format(": it serves {}", fmt::join(names, ", ")));
    if (!names.empty() && std::ranges::find(names, facts_.model) == names.end())
      Fail("{}: serves no model {}, but {}", pool_.url(address_), facts_.model,
           fmt::join(names, ", "));
    if (facts_.server == "vllm") {
      facts_.version = TextAt(Get("/version"), "version");
    } else if (facts_.server == "sglang") {
      facts_.version = TextAt(Get("/get_server_info"), "version");
    } else if (facts_.server == "llama.cpp") {
      const json props = Get("/props");
      facts_.version = TextAt(props, "build_info");
      if (props.is_object() && props.contains("default_generation_settings"))
        facts_.max_positions = OptionalCount(props["default_generation_settings"], "n_ctx");
    }
  }

  CompletionCall Call(SamplingParams sampling, int32_t top) const {
    CompletionCall call;
    call.prompt = prompt_;
    call.sampling = sampling;
    call.seed = 1;
    call.top = top;
    return call;
  }

  // Refuses a server that returns no token ids, with the reason.
  void RequireIds(const Dialect& dialect) {
    const CompletionCall call = Call({}, 0);
    const json answer = pool_.Ask(address_, dialect.Request(call), progress_);
    const bool open = dialect.kind() == ServerKind::kVllm || dialect.kind() == ServerKind::kOpenAi;
    if (open && answer.contains("choices") && answer["choices"].is_array() &&
        !answer["choices"].empty() && !answer["choices"][0].contains("token_ids"))
      Fail(
          "{}: returns texts without token ids (return_token_ids), and texts do not tell which "
          "tokens were drawn: take vLLM 0.10.2 or later, SGLang or llama.cpp's server, and say "
          "which by --server if it was not recognised",
          pool_.url(address_));
  }

  // Temperature 2 and top-k 2 leave two tokens with probabilities that tell what was applied.
  void FindLogprobs(const Dialect& dialect) {
    plain_ = Complete(dialect, Call({}, dialect.LongestTop())).completions[0].top;
    if (plain_.size() < 3)
      Fail("{}: lists {} probable tokens where {} were asked for", pool_.url(address_),
           plain_.size(), dialect.LongestTop());
    const SamplingParams odd = {.temperature = 2, .top_k = 2};
    const auto top = Complete(dialect, Call(odd, dialect.LongestTop())).completions[0].top;
    double sum = 0, change = 0;  // the largest of a log-probability
    for (const auto& [token, logprob] : top) {
      sum += std::exp(logprob);
      const auto found = std::ranges::find(plain_, token, &RatedToken::first);
      if (found != plain_.end())
        change = std::max(change, double{std::abs(found->second - logprob)});
    }
    facts_.logprobs = top.size() == 2 && std::abs(sum - 1) < 1e-2 ? ServedLogprobs::kPolicy
                      : change > kClose                           ? ServedLogprobs::kTempered
                                                                  : ServedLogprobs::kRaw;
  }

  // Forces tokens that are seldom drawn, and looks at their log-probabilities.
  void FindBias(const Dialect& dialect) {
    facts_.bias_bans = facts_.logprobs_after_bias = true;
    for (std::size_t i = 1; i <= 3 && i < plain_.size(); ++i) {
      const auto [token, logprob] = plain_[plain_.size() - i];
      CompletionCall call = Call({}, 0);
      call.bias = {{token, -dialect.Ban()}};
      call.seed = i;
      const json answer = pool_.Ask(address_, dialect.Request(call), progress_);
      try {
        const Completion drawn = dialect.Read(call, answer).completions[0];
        facts_.bias_bans = facts_.bias_bans && drawn.tokens[0] == token;
        facts_.logprobs_after_bias =
            facts_.logprobs_after_bias && drawn.logprobs[0] > logprob + kClose;
      } catch (const BadAnswer&) {
        facts_.bias_bans = false;  // excluded tokens are then drawn again
      }
    }
  }

  void FindSeeds(const Dialect& dialect) {
    std::vector<std::vector<TokenId>> drawn;
    for (const uint64_t seed : {7, 7, 8, 9}) {
      CompletionCall call = Call({.temperature = 2}, 0);
      call.max_tokens = 8;
      call.seed = seed;
      call.logprobs = false;
      drawn.push_back(Complete(dialect, call).completions[0].tokens);
    }
    facts_.seeds = drawn[0] == drawn[1] && (drawn[0] != drawn[2] || drawn[0] != drawn[3]);
  }

  ServerPool& pool_;
  std::size_t address_;
  const Tokenizer& tokenizer_;
  const Progress& progress_;
  std::vector<TokenId> prompt_;
  ServedFacts facts_;
  std::vector<RatedToken> plain_;
};

}  // namespace

std::string ApiKey() {
  const char* set = std::getenv("PIVOTAL_API_KEY");
  std::string key = set == nullptr ? "" : set;
  while (!key.empty() && (key.back() == '\n' || key.back() == '\r')) key.pop_back();
  for (const char c : key)
    if (c <= ' ' || c > '~')
      Fail("the environment variable PIVOTAL_API_KEY holds a character that no key has");
  return key;
}

ServedFacts Probe(ServerPool& pool, const ServedSettings& settings, const Tokenizer& tokenizer,
                  const SamplingParams& sampling, const Progress& progress) {
  std::optional<ServedFacts> first;
  for (std::size_t a = 0; a < pool.size(); ++a) {
    const ServedFacts facts = Prober(pool, a, tokenizer, progress).Run(settings, sampling);
    if (!first) {
      first = facts;
      continue;
    }
    const auto same = [&](const auto& x, const auto& y, const char* what) {
      if (x != y)
        Fail("{}: another {} than {}; servers that share a run must be alike", pool.url(a), what,
             pool.url(0));
    };
    same(facts.server, first->server, "kind of server");
    same(facts.model, first->model, "model");
    same(facts.logprobs, first->logprobs, "kind of log-probabilities");
    same(facts.logprobs_after_bias, first->logprobs_after_bias, "kind of log-probabilities");
    first->bias_bans = first->bias_bans && facts.bias_bans;
    first->seeds = first->seeds && facts.seeds;
    if (first->max_positions == 0 ||
        (facts.max_positions > 0 && facts.max_positions < first->max_positions))
      first->max_positions = facts.max_positions;
  }
  return *first;
}

void RequireLogprobs(const ServedFacts& facts, const SamplingParams& sampling) {
  if (sampling.temperature == 0 || IsPlain(sampling)) return;
  if (facts.logprobs == ServedLogprobs::kPolicy) return;
  if (facts.logprobs == ServedLogprobs::kTempered && !Cuts(sampling)) return;
  Fail(
      "the server returns log-probabilities of the model, not of the tokens' distribution under "
      "these sampling parameters; {}take temperature 1 without top-k, top-p and min-p",
      facts.server == "vllm" ? "start vLLM with --logprobs-mode processed_logprobs, or " : "");
}

}  // namespace pivotal::pts
