// Apache-2.0.
#include "pts/served/dialect.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "data/base/error.h"
#include "kernels/philox.h"

namespace pivotal::pts {
namespace {

using nlohmann::json;

// A probability may be above 1 by so much of its logarithm, from rounding.
constexpr double kRounding = 1e-3;
// What servers send in the place of log(0), which JSON cannot hold.
constexpr double kNoLogprob = -9000;

template <typename... Args>
[[noreturn]] void Bad(fmt::format_string<Args...> format, Args&&... args) {
  throw BadAnswer(fmt::format(format, std::forward<Args>(args)...));
}

// Returns object[key]. Throws BadAnswer if there is none.
const json& Need(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key)) Bad("the answer has no {}", key);
  return object[key];
}

const json& NeedArray(const json& object, const char* key) {
  const json& value = Need(object, key);
  if (!value.is_array()) Bad("{} in the answer is no array", key);
  return value;
}

std::string NeedString(const json& object, const char* key) {
  const json& value = Need(object, key);
  if (!value.is_string()) Bad("{} in the answer is no text", key);
  return value.get<std::string>();
}

float ReadLogprob(const json& value) {
  if (!value.is_number()) Bad("a log-probability in the answer is no number");
  const double logprob = value.get<double>();
  if (std::isnan(logprob) || logprob > kRounding)
    Bad("a log-probability in the answer is {}", logprob);
  return static_cast<float>(std::min(logprob, 0.0));
}

// Reads "token_id:17", in which form servers name tokens where texts are ambiguous.
std::optional<int64_t> ReadNamedToken(std::string_view name) {
  constexpr std::string_view kPrefix = "token_id:";
  if (name.starts_with(kPrefix)) name.remove_prefix(kPrefix.size());
  int64_t id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return id;
}

// Sorts the list, most probable first, and drops what has no probability.
void SortTop(std::vector<RatedToken>& top) {
  std::erase_if(top, [](const RatedToken& token) { return token.second < kNoLogprob; });
  std::stable_sort(top.begin(), top.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
}

void RequirePromptLength(const CompletionCall& call, int64_t length) {
  if (length != 0 && length != std::ssize(call.prompt))
    Bad("the server read {} tokens of a prompt of {}", length, call.prompt.size());
}

}  // namespace

TokenScore ScoreOf(float logprob, TokenId token, const std::vector<RatedToken>& others) {
  TokenScore score{.logprob = logprob,
                   .runner_up = -1,
                   .runner_up_logprob = -std::numeric_limits<float>::infinity(),
                   .entropy = std::numeric_limits<float>::quiet_NaN()};
  for (const auto& [other, rate] : others) {
    if (other == token || rate <= score.runner_up_logprob) continue;
    score.runner_up = other;
    score.runner_up_logprob = rate;
  }
  return score;
}

int64_t OptionalCount(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number_integer()) return 0;
  return std::max<int64_t>(0, object[key].get<int64_t>());
}

int Dialect::SeedBits() const { return kind_ == ServerKind::kVllm ? 62 : 31; }

double Dialect::Ban() const {
  return kind_ == ServerKind::kLlamaCpp ? -1e9 : -100;  // OpenAI's interface allows -100 to 100
}

ServerRequest Dialect::Request(const CompletionCall& call) const {
  const SamplingParams& sampling = call.sampling;
  json body;
  std::string path;
  switch (kind_) {
    case ServerKind::kVllm:
    case ServerKind::kOpenAi: {
      path = "/v1/completions";
      body = {{"model", model_},
              {"prompt", call.prompt},
              {"max_tokens", call.max_tokens},
              {"temperature", sampling.temperature},
              {"top_p", sampling.top_p},
              {"seed", call.seed},
              {"n", call.count},
              {"return_token_ids", true}};
      if (!call.stop.empty()) body["stop"] = call.stop;
      if (call.logprobs || call.top > 0) body["logprobs"] = call.top;
      if (call.top > 0) body["return_tokens_as_token_ids"] = true;
      // Said even where they are off: a server may have defaults of the model's.
      if (kind_ == ServerKind::kVllm || sampling.top_k != 0) body["top_k"] = sampling.top_k;
      if (kind_ == ServerKind::kVllm || sampling.min_p != 0) body["min_p"] = sampling.min_p;
      if (kind_ == ServerKind::kVllm) {
        body["repetition_penalty"] = 1.0;
        body["presence_penalty"] = body["frequency_penalty"] = 0.0;
        body["add_special_tokens"] = body["skip_special_tokens"] = false;
      }
      for (const auto& [token, bias] : call.bias) body["logit_bias"][std::to_string(token)] = bias;
      break;
    }
    case ServerKind::kSglang: {
      path = "/generate";
      json params = {{"max_new_tokens", call.max_tokens},
                     {"temperature", sampling.temperature},
                     {"top_p", sampling.top_p},
                     {"top_k", sampling.top_k == 0 ? -1 : sampling.top_k},
                     {"min_p", sampling.min_p},
                     {"repetition_penalty", 1.0},
                     {"presence_penalty", 0.0},
                     {"frequency_penalty", 0.0},
                     {"sampling_seed", call.seed},
                     {"skip_special_tokens", false},
                     {"no_stop_trim", true}};
      if (!call.stop.empty()) params["stop"] = call.stop;
      for (const auto& [token, bias] : call.bias)
        params["logit_bias"][std::to_string(token)] = bias;
      body = {{"input_ids", call.prompt},
              {"sampling_params", std::move(params)},
              {"return_logprob", call.logprobs || call.top > 0}};
      if (call.top > 0) body["top_logprobs_num"] = call.top;
      break;
    }
    case ServerKind::kLlamaCpp: {
      path = "/completion";
      body = {{"prompt", call.prompt},
              {"n_predict", call.max_tokens},
              {"temperature", sampling.temperature},
              {"top_k", sampling.top_k},
              {"top_p", sampling.top_p},
              {"min_p", sampling.min_p},
              // Our order, and no penalties.
              {"samplers", json::array({"temperature", "top_k", "top_p", "min_p"})},
              {"seed", call.seed},
              {"cache_prompt", true},
              {"return_tokens", true},
              {"stop", call.stop}};
      if (!model_.empty()) body["model"] = model_;
      if (call.logprobs || call.top > 0) {
        body["n_probs"] = std::max(1, call.top);
        body["post_sampling_probs"] = AfterSampling(sampling);
      }
      for (const auto& [token, bias] : call.bias)
        body["logit_bias"].push_back(json::array({token, bias}));
      break;
    }
  }
  // A prompt's first tokens: what the cache of prefixes is told apart by.
  uint64_t beginning = 0;
  constexpr std::size_t kBeginning = 512;
  for (std::size_t i = 0; i < std::min(call.prompt.size(), kBeginning); ++i)
    beginning = kernels::MixStream(beginning, static_cast<uint64_t>(call.prompt[i]));
  return {std::move(path), body.dump(), beginning};
}

CompletionAnswer Dialect::Read(const CompletionCall& call, const json& answer) const {
  try {
    CompletionAnswer read = kind_ == ServerKind::kSglang     ? ReadSglang(call, answer)
                            : kind_ == ServerKind::kLlamaCpp ? ReadLlamaCpp(call, answer)
                                                             : ReadOpenAi(call, answer);
    if (std::ssize(read.completions) != call.count)
      Bad("{} completions came for {}", read.completions.size(), call.count);
    for (const Completion& completion : read.completions) Check(call, completion);
    return read;
  } catch (const json::exception& error) {
    Bad("the answer has another form: {}", error.what());
  }
}

CompletionAnswer Dialect::ReadOpenAi(const CompletionCall& call, const json& answer) const {
  CompletionAnswer read;
  if (answer.contains("usage") && answer["usage"].is_object()) {
    const json& usage = answer["usage"];
    RequirePromptLength(call, OptionalCount(usage, "prompt_tokens"));
    if (usage.contains("prompt_tokens_details"))
      read.cached_tokens = OptionalCount(usage["prompt_tokens_details"], "cached_tokens");
  }
  std::vector<const json*> choices;
  for (const json& choice : NeedArray(answer, "choices")) choices.push_back(&choice);
  // Completion i has seed i, wherever it stands in the answer.
  std::stable_sort(choices.begin(), choices.end(), [](const json* a, const json* b) {
    return OptionalCount(*a, "index") < OptionalCount(*b, "index");
  });
  for (const json* choice : choices) {
    Completion completion;
    if (choice->contains("prompt_token_ids") && (*choice)["prompt_token_ids"].is_array() &&
        (*choice)["prompt_token_ids"] != json(call.prompt))
      Bad("the server read other tokens than those of the prompt");
    for (const json& token : NeedArray(*choice, "token_ids"))
      completion.tokens.push_back(ReadToken(token));
    if (call.logprobs || call.top > 0) {
      const json& logprobs = Need(*choice, "logprobs");
      for (const json& logprob : NeedArray(logprobs, "token_logprobs"))
        completion.logprobs.push_back(ReadLogprob(logprob));
      if (call.top > 0) {
        const json& tops = NeedArray(logprobs, "top_logprobs");
        if (tops.empty() || !tops[0].is_object()) Bad("the answer lists no probable tokens");
        for (const auto& [name, logprob] : tops[0].items()) {
          const auto id = ReadNamedToken(name);
          if (!id) Bad("the answer names tokens by their texts, not by their ids");
          completion.top.emplace_back(ReadToken(*id), ReadLogprob(logprob));
        }
        SortTop(completion.top);
      }
    }
    const std::string reason = NeedString(*choice, "finish_reason");
    const bool by_text = choice->contains("stop_reason") && (*choice)["stop_reason"].is_string();
    if (reason == "length")
      completion.end = CompletionEnd::kLength;
    else if (reason != "stop")
      Bad("a completion ended by \"{}\"", reason);
    else
      completion.end = by_text ? CompletionEnd::kStopText : CompletionEnd::kEos;
    read.completions.push_back(std::move(completion));
  }
  return read;
}

CompletionAnswer Dialect::ReadSglang(const CompletionCall& call, const json& answer) const {
  CompletionAnswer read;
  Completion completion;
  const json& meta = Need(answer, "meta_info");
  RequirePromptLength(call, OptionalCount(meta, "prompt_tokens"));
  read.cached_tokens = OptionalCount(meta, "cached_tokens");
  for (const json& token : NeedArray(answer, "output_ids"))
    completion.tokens.push_back(ReadToken(token));
  const auto rated = [&](const json& entry) {  // [log-probability, id, text]
    return RatedToken{ReadToken(entry.at(1)), ReadLogprob(entry.at(0))};
  };
  if (call.logprobs || call.top > 0) {
    std::size_t i = 0;
    for (const json& entry : NeedArray(meta, "output_token_logprobs")) {
      const auto [token, logprob] = rated(entry);
      if (i >= completion.tokens.size() || token != completion.tokens[i++])
        Bad("log-probabilities are of other tokens than those drawn");
      completion.logprobs.push_back(logprob);
    }
    if (call.top > 0) {
      const json& tops = NeedArray(meta, "output_top_logprobs");
      if (tops.empty()) Bad("the answer lists no probable tokens");
      for (const json& entry : tops[0]) completion.top.push_back(rated(entry));
      SortTop(completion.top);
    }
  }
  const json& reason = Need(meta, "finish_reason");
  const std::string type = NeedString(reason, "type");
  if (type == "length")
    completion.end = CompletionEnd::kLength;
  else if (type != "stop")
    Bad("a completion ended by \"{}\"", type);
  else if (reason.contains("matched") && reason["matched"].is_string())
    completion.end = CompletionEnd::kStopText;
  read.completions.push_back(std::move(completion));
  return read;
}

CompletionAnswer Dialect::ReadLlamaCpp(const CompletionCall& call, const json& answer) const {
  CompletionAnswer read;
  Completion completion;
  RequirePromptLength(call, OptionalCount(answer, "tokens_evaluated"));
  if (answer.contains("truncated") && answer["truncated"] == true)
    Bad("the server has cut the prompt");
  if (answer.contains("timings")) read.cached_tokens = OptionalCount(answer["timings"], "cache_n");
  for (const json& token : NeedArray(answer, "tokens"))
    completion.tokens.push_back(ReadToken(token));
  // Log-probabilities may be missing, so they do not tell that a token is one too many. With a
  // draft model the server counts tokens that it throws away.
  const int64_t predicted = OptionalCount(answer, "tokens_predicted");
  if (predicted != 0 && std::ssize(completion.tokens) > predicted)
    Bad("{} tokens came where the server predicted {}", completion.tokens.size(), predicted);
  const auto rate = [&](const json& entry) {
    if (!entry.contains("prob")) return ReadLogprob(Need(entry, "logprob"));
    const json& prob = entry["prob"];
    if (!prob.is_number()) Bad("a probability in the answer is no number");
    return ReadLogprob(json(std::max(std::log(prob.get<double>()), 2 * kNoLogprob)));
  };
  if (call.logprobs || call.top > 0) {
    completion.logprobs.assign(completion.tokens.size(), std::numeric_limits<float>::quiet_NaN());
    std::size_t i = 0;  // tokens before have their log-probability or have none
    const json none = json::array();
    const bool lists = answer.contains("completion_probabilities");
    for (const json& entry : lists ? NeedArray(answer, "completion_probabilities") : none) {
      const TokenId token = ReadToken(Need(entry, "id"));
      while (i < completion.tokens.size() && completion.tokens[i] != token) ++i;
      if (i == completion.tokens.size()) Bad("probabilities are of other tokens than those drawn");
      completion.logprobs[i] = rate(entry);
      if (i++ > 0 || call.top == 0) continue;
      const char* key = entry.contains("top_probs") ? "top_probs" : "top_logprobs";
      for (const json& other : NeedArray(entry, key))
        completion.top.emplace_back(ReadToken(Need(other, "id")), rate(other));
      SortTop(completion.top);
    }
  }
  const std::string type = NeedString(answer, "stop_type");
  if (type == "limit")
    completion.end = CompletionEnd::kLength;
  else if (type == "word")
    completion.end = CompletionEnd::kStopText;
  else if (type != "eos")
    Bad("a completion ended by \"{}\"", type);
  read.completions.push_back(std::move(completion));
  return read;
}

TokenId Dialect::ReadToken(const json& value) const {
  if (!value.is_number_integer()) Bad("a token id in the answer is no whole number");
  const int64_t id = value.get<int64_t>();
  if (id < 0 || id >= vocabulary_)
    Bad("the server drew token {}, but the tokenizer has {} tokens: is it the model's own?", id,
        vocabulary_);
  return static_cast<TokenId>(id);
}

void Dialect::Check(const CompletionCall& call, const Completion& completion) const {
  const int64_t length = std::ssize(completion.tokens);
  if (length < 1) Bad("a completion is empty");
  if (length > call.max_tokens)
    Bad("a completion has {} tokens, {} were allowed", length, call.max_tokens);
  if (completion.end == CompletionEnd::kLength && length != call.max_tokens)
    Bad("a completion ended by its length after {} of {} tokens", length, call.max_tokens);
  if (call.logprobs && std::ssize(completion.logprobs) != length)
    Bad("{} log-probabilities came for {} tokens", completion.logprobs.size(), length);
}

ServerRequest Dialect::ScoreCall(std::span<const TokenId> sequence, std::size_t from) const {
  CompletionCall call;
  call.prompt.assign(sequence.begin(), sequence.end());
  call.logprobs = false;
  ServerRequest request = Request(call);
  json body = json::parse(request.body);
  if (kind_ == ServerKind::kSglang) {
    body["return_logprob"] = true;
    body["logprob_start_len"] = from - 1;
    body["top_logprobs_num"] = 2;
  } else {
    body["prompt_logprobs"] = 2;
  }
  request.body = body.dump();
  return request;
}

std::vector<TokenScore> Dialect::ReadScores(std::span<const TokenId> sequence, std::size_t from,
                                            const json& answer) const {
  try {
    std::vector<TokenScore> scores;
    if (kind_ == ServerKind::kSglang) {
      // The list begins at token from - 1, of which it has no log-probability or the only one that
      // is not asked for.
      const json& meta = Need(answer, "meta_info");
      const json &rates = NeedArray(meta, "input_token_logprobs"),
                 &tops = NeedArray(meta, "input_top_logprobs");
      const std::size_t wanted = sequence.size() - from;
      if (rates.size() < wanted || tops.size() < wanted)
        Bad("{} tokens were scored of {}", rates.size(), wanted);
      for (std::size_t i = 0; i < wanted; ++i) {
        const json& entry = rates.at(rates.size() - wanted + i);
        const TokenId token = sequence[from + i];
        if (ReadToken(entry.at(1)) != token) Bad("other tokens were scored than those sent");
        std::vector<RatedToken> others;
        for (const json& other : tops.at(tops.size() - wanted + i))
          others.emplace_back(ReadToken(other.at(1)), ReadLogprob(other.at(0)));
        scores.push_back(ScoreOf(ReadLogprob(entry.at(0)), token, others));
      }
      return scores;
    }
    const json& choices = NeedArray(answer, "choices");
    if (choices.empty()) Bad("the answer has no completion");
    const json& places = NeedArray(choices[0], "prompt_logprobs");
    if (places.size() != sequence.size())
      Bad("{} tokens were scored of {}", places.size(), sequence.size());
    for (std::size_t i = from; i < sequence.size(); ++i) {
      std::optional<float> own;
      std::vector<RatedToken> others;
      for (const auto& [name, entry] : places[i].items()) {
        const auto id = ReadNamedToken(name);
        if (!id) Bad("the answer names tokens by their texts, not by their ids");
        const float logprob = ReadLogprob(Need(entry, "logprob"));
        if (*id == sequence[i]) own = logprob;
        others.emplace_back(static_cast<TokenId>(*id), logprob);
      }
      if (!own) Bad("the answer does not score token {} of a sequence", i);
      scores.push_back(ScoreOf(*own, sequence[i], others));
    }
    return scores;
  } catch (const json::exception& error) {
    Bad("the answer has another form: {}", error.what());
  }
}

}  // namespace pivotal::pts
