// Apache-2.0. Samples from servers: which requests make a rollout, and how answers become one.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "data/base/error.h"
#include "data/base/json_input.h"
#include "kernels/philox.h"
#include "kernels/sample_row.h"
#include "pivotal/served.h"
#include "pts/served/dialect.h"
#include "pts/served/probe.h"
#include "pts/served/server_pool.h"

namespace pivotal::pts {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr int32_t kPerRequest = 16;  // most completions of one request
// First draws of one rollout that may be thrown away for an excluded token.
constexpr int32_t kMostDraws = 100'000;
constexpr int32_t kMostLists = 100;  // that are asked for in place of one that did not come

// What each request of Sample() asks for.
enum class Step {
  kList,   // the distribution of the first token
  kFirst,  // a first token that is not excluded
  kRest,   // what follows
  kRate,   // the log-probability of a token that came without one
};

// One request: `count` rollouts from `first` on (1 except for kFirst and whole rollouts).
struct Work {
  Step step = Step::kRest;
  std::size_t request = 0;
  int32_t first = 0, count = 1;
  int32_t round = 0;  // of draws of a first token
  CompletionCall call = {};
  // Of kRate: the answer that lacks log-probabilities, and the place of this one.
  int64_t held = -1;
  std::size_t completion = 0, token = 0;
};

// An answer that waits for log-probabilities that did not come with it.
struct Held {
  Work work;
  CompletionAnswer answer;
  int64_t missing = 0;
};

// How the first tokens of a request with excluded tokens are drawn.
struct Exclusion {
  std::vector<TokenId> banned;  // by a bias; excluded tokens that are not are drawn again
  double left = 1;              // probability of all tokens but the banned ones
};

// Returns the probability of all tokens of a list.
double MassOf(const std::vector<RatedToken>& tokens) {
  double mass = 0;
  for (const auto& [token, logprob] : tokens) mass += std::exp(logprob);
  return mass;
}

// Adds the time that it lives to the counters.
class SecondsGuard {
 public:
  explicit SecondsGuard(RolloutCounters& counters) : counters_(counters) {}
  ~SecondsGuard() {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    counters_.seconds += seconds;
    counters_.decode_seconds += seconds;
  }
  SecondsGuard(const SecondsGuard&) = delete;
  SecondsGuard& operator=(const SecondsGuard&) = delete;

 private:
  RolloutCounters& counters_;
  Clock::time_point start_ = Clock::now();
};

class ServedModel : public ServedPolicy {
 public:
  ServedModel(const ServedSettings& settings, const Tokenizer& tokenizer, Options options,
              const Progress& progress)
      : options_(std::move(options)),
        pool_(settings, ApiKey()),
        facts_(Probe(pool_, settings, tokenizer, options_.sampling, progress)),
        dialect_(kServerNames.Parse(facts_.server), facts_.model, tokenizer.VocabSize()),
        tokenizer_(tokenizer),
        ends_(options_.end_tokens.begin(), options_.end_tokens.end()) {
    if (tokenizer.eos() >= 0) ends_.insert(tokenizer.eos());
  }

  const ServedFacts& facts() const override { return facts_; }

  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished) override;
  std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                std::span<const TokenId> continuation) override;
  std::vector<std::vector<TokenScore>> ScoreAll(std::span<const ScoreRequest> requests,
                                                const Progress& progress) override;

  RolloutCounters counters() const override {
    RolloutCounters counters = counters_;
    counters.requests = pool_.counts().requests;
    counters.failed_requests = pool_.counts().failures;
    return counters;
  }

 private:
  const SamplingParams& SamplingOf(const RolloutRequest& request) const {
    return request.sampling ? *request.sampling : options_.sampling;
  }
  // Returns true if a bias changes the log-probabilities that come back.
  bool AfterBias(const SamplingParams& sampling) const {
    return facts_.logprobs_after_bias || dialect_.AfterSampling(sampling);
  }
  void Check(const RolloutRequest& request) const;

  // Queues what a request begins with.
  void Begin(std::size_t r);
  void BeginFirst(std::size_t r, int32_t first, int32_t count, int32_t round);
  // Asks for what follows in rollouts first .. first + count - 1, which hold nothing or, one at a
  // time, some tokens.
  void BeginRest(std::size_t r, int32_t first, int32_t count);
  void Send(Work work);

  void Take(int64_t id, const json& answer);
  void Use(const Work& work, const CompletionAnswer& answer);
  // Asks for the log-probabilities that an answer lacks. Returns false if it has all.
  bool Complete(const Work& work, const CompletionAnswer& answer);
  void TakeRate(Work work, const CompletionAnswer& answer);
  // Asks for the distribution of the model after a prompt, the `top` most probable tokens of it. A
  // token is forced whose log-probability comes in any case.
  CompletionCall ListCall(std::vector<TokenId> prompt, int32_t top) const;
  // Returns the log-probability of `token` under `sampling`, or nothing if the list does not tell
  // it, after which a longer one is to be asked for.
  std::optional<float> RateIn(const std::vector<RatedToken>& top, TokenId token,
                              const SamplingParams& sampling) const;
  // Returns the length of the first list to ask for; the next ones are sixteen times as long.
  int32_t FirstTop(const SamplingParams& sampling) const {
    constexpr int32_t kFirst = 64;
    return IsPlain(sampling) ? std::min(kFirst, tokenizer_.VocabSize()) : tokenizer_.VocabSize();
  }
  void TakeList(const Work& work, const CompletionAnswer& answer);
  void TakeFirst(const Work& work, const CompletionAnswer& answer);
  // Adds tokens to a rollout, up to its end. Asks for more, or reports the rollout if it has ended.
  void Add(std::size_t r, int32_t rollout, const Completion& completion);
  void Report(std::size_t r, int32_t rollout);

  // Draws a first token from a distribution that is known.
  RatedToken Draw(const RolloutRequest& request, uint32_t rollout,
                  const std::vector<RatedToken>& choices) const;
  // Returns the distribution without the excluded tokens if `top` is all of it, and no token in it
  // might be an end of sequence that is not known as one.
  std::vector<RatedToken> KnownChoices(const RolloutRequest& request,
                                       const std::vector<RatedToken>& top) const;
  uint64_t SeedOf(const RolloutRequest& request, int32_t rollout, uint64_t purpose) const;

  // The score of one token by llama.cpp's server, which scores no prompts: the token is forced.
  CompletionCall ForcedCall(std::span<const TokenId> prefix, TokenId token) const;

  Options options_;
  ServerPool pool_;
  ServedFacts facts_;
  Dialect dialect_;
  const Tokenizer& tokenizer_;
  std::set<TokenId> ends_;
  RolloutCounters counters_;

  // State of one call of Sample().
  std::span<const RolloutRequest> requests_;
  const RolloutSink* finished_ = nullptr;
  std::vector<std::vector<Rollout>> results_;
  std::map<std::size_t, Exclusion> exclusions_;
  std::map<int64_t, Work> open_;
  std::map<int64_t, Held> held_;
  int64_t next_id_ = 0;
};

void ServedModel::Check(const RolloutRequest& request) const {
  if (request.prefix.empty()) Fail("a rollout needs a prefix of at least one token");
  if (request.count < 0 || request.max_new_tokens < 1)
    Fail("a rollout request with count {} and max_new_tokens {}", request.count,
         request.max_new_tokens);
  if (request.response_tokens < 0 || request.response_tokens > std::ssize(request.prefix))
    Fail("a rollout request with {} response tokens in a prefix of {}", request.response_tokens,
         request.prefix.size());
  if (facts_.max_positions > 0 &&
      std::ssize(request.prefix) + request.max_new_tokens > facts_.max_positions)
    Fail("a prompt of {} tokens and {} new ones are longer than the {} that the server reads",
         request.prefix.size(), request.max_new_tokens, facts_.max_positions);
  if (!request.excluded.empty() && SamplingOf(request).temperature == 0)
    Fail("at temperature 0 nothing is left to draw once a token is excluded");
  if (request.sampling) {
    request.sampling->Validate();
    RequireLogprobs(facts_, *request.sampling);
  }
}

std::vector<std::vector<Rollout>> ServedModel::Sample(std::span<const RolloutRequest> requests,
                                                      const Progress& progress,
                                                      const RolloutSink& finished) {
  // Time counts even where the call is broken off.
  const SecondsGuard timed(counters_);
  requests_ = requests;
  finished_ = &finished;
  results_.clear();
  exclusions_.clear();
  open_.clear();
  held_.clear();
  for (const RolloutRequest& request : requests) {
    Check(request);
    results_.emplace_back(static_cast<std::size_t>(request.count));
  }
  for (std::size_t r = 0; r < requests.size(); ++r) Begin(r);
  pool_.Run([&](int64_t id, const json& answer) { Take(id, answer); }, progress);
  return std::move(results_);
}

uint64_t ServedModel::SeedOf(const RolloutRequest& request, int32_t rollout,
                             uint64_t purpose) const {
  uint64_t seed = kernels::MixStream(options_.seed, request.stream);
  if (purpose != 0) seed = kernels::MixStream(seed, purpose);
  seed += request.first_rollout + static_cast<uint64_t>(rollout);
  return seed & ((uint64_t{1} << dialect_.SeedBits()) - 1);
}

void ServedModel::Send(Work work) {
  const int64_t id = next_id_++;
  pool_.Submit(id, dialect_.Request(work.call));
  open_.emplace(id, std::move(work));
}

void ServedModel::Begin(std::size_t r) {
  const RolloutRequest& request = requests_[r];
  if (request.count == 0) return;
  if (request.excluded.empty()) {
    const int32_t most = dialect_.SeveralPerRequest() ? kPerRequest : 1;
    for (int32_t first = 0; first < request.count; first += most)
      BeginRest(r, first, std::min(most, request.count - first));
    return;
  }
  const SamplingParams& sampling = SamplingOf(request);
  if (facts_.bias_bans && !AfterBias(sampling) && !Cuts(sampling)) {
    // The log-probabilities do not see the bias, and proportions are kept.
    exclusions_[r].banned = request.excluded;
    return BeginFirst(r, 0, request.count, 0);
  }
  Work work{Step::kList, r};
  work.call.prompt = request.prefix;
  work.call.sampling = sampling;
  work.call.seed = SeedOf(request, 0, 1);
  work.call.top = dialect_.LongestTop();
  Send(std::move(work));
}

void ServedModel::TakeList(const Work& work, const CompletionAnswer& answer) {
  const RolloutRequest& request = requests_[work.request];
  const auto& top = answer.completions[0].top;
  if (top.empty()) {  // the token that was drawn came without; another one comes with the list
    Work again = work;
    if (++again.round == kMostLists)
      Fail("the server lists no probable tokens after a prefix of {} tokens",
           request.prefix.size());
    again.call.seed += 1;
    return Send(std::move(again));
  }
  Exclusion& exclusion = exclusions_[work.request];
  counters_.discarded_tokens += 1;
  // Where the distribution is known whole, the draw is ours.
  const auto choices = KnownChoices(request, top);
  if (choices.empty() && facts_.bias_bans && !Cuts(SamplingOf(request))) {
    // What is banned must be known, so that log-probabilities after the bias can be put right. An
    // excluded token that is not among the most probable ones is seldom drawn, and drawn again.
    double banned = 0, others = 0;
    for (const auto& [token, logprob] : top) {
      const bool excluded = std::ranges::find(request.excluded, token) != request.excluded.end();
      (excluded ? banned : others) += std::exp(logprob);
      if (excluded) exclusion.banned.push_back(token);
    }
    exclusion.left = std::max({1 - banned, others, 1e-30});
  }
  if (choices.empty()) return BeginFirst(work.request, 0, request.count, 0);
  for (int32_t i = 0; i < request.count; ++i) {
    const auto [token, logprob] =
        Draw(request, request.first_rollout + static_cast<uint32_t>(i), choices);
    const bool last = request.max_new_tokens == 1;
    Completion completion{{token}, {logprob}, CompletionEnd::kStopText, {}};
    if (ends_.contains(token))
      completion.end = CompletionEnd::kEos;
    else if (last)
      completion.end = CompletionEnd::kLength;
    Add(work.request, i, completion);
  }
}

std::vector<RatedToken> ServedModel::KnownChoices(const RolloutRequest& request,
                                                  const std::vector<RatedToken>& top) const {
  if (!Cuts(SamplingOf(request)) || std::ssize(top) >= dialect_.LongestTop()) return {};
  if (std::abs(MassOf(top) - 1) > 1e-3) return {};  // the server lists fewer than it was asked for
  std::vector<RatedToken> choices;
  for (const RatedToken& choice : top) {
    if (std::ranges::find(request.excluded, choice.first) != request.excluded.end()) continue;
    const bool prints = !tokenizer_.Decode(std::span(&choice.first, 1)).empty();
    if (!prints && !ends_.contains(choice.first)) return {};
    choices.push_back(choice);
  }
  if (choices.empty())
    Fail("every token that the policy allows after a prefix of {} tokens is excluded",
         request.prefix.size());
  return choices;
}

RatedToken ServedModel::Draw(const RolloutRequest& request, uint32_t rollout,
                             const std::vector<RatedToken>& choices) const {
  double at = MassOf(choices) * kernels::Uniform(options_.seed, request.stream, rollout, 0);
  for (const RatedToken& choice : choices) {
    at -= std::exp(choice.second);
    if (at < 0) return choice;
  }
  return choices.back();
}

void ServedModel::BeginFirst(std::size_t r, int32_t first, int32_t count, int32_t round) {
  const RolloutRequest& request = requests_[r];
  if (round >= kMostDraws)
    Fail("{} draws after a prefix of {} tokens were all of excluded tokens", round,
         request.prefix.size());
  const Exclusion& exclusion = exclusions_.at(r);
  const int32_t most = dialect_.SeveralPerRequest() ? kPerRequest : 1;
  for (int32_t done = 0; done < count; done += most) {
    Work work{Step::kFirst, r, first + done, std::min(most, count - done), round};
    work.call.prompt = request.prefix;
    work.call.count = work.count;
    work.call.sampling = SamplingOf(request);
    work.call.seed = SeedOf(request, work.first, 2 + static_cast<uint64_t>(round));
    for (const TokenId token : exclusion.banned) work.call.bias.emplace_back(token, dialect_.Ban());
    Send(std::move(work));
  }
}

void ServedModel::TakeFirst(const Work& work, const CompletionAnswer& answer) {
  const RolloutRequest& request = requests_[work.request];
  const Exclusion& exclusion = exclusions_.at(work.request);
  for (int32_t i = 0; i < work.count; ++i) {
    Completion completion = answer.completions[static_cast<std::size_t>(i)];
    const TokenId token = completion.tokens[0];
    if (std::ranges::find(request.excluded, token) != request.excluded.end()) {
      counters_.discarded_tokens += 1;
      BeginFirst(work.request, work.first + i, 1, work.round + 1);
      continue;
    }
    if (AfterBias(work.call.sampling) && !exclusion.banned.empty())
      completion.logprobs[0] += static_cast<float>(std::log(exclusion.left));
    // It ended by its length of one token; the rollout goes on.
    if (completion.end == CompletionEnd::kLength && request.max_new_tokens > 1)
      completion.end = CompletionEnd::kStopText;
    Add(work.request, work.first + i, completion);
  }
}

void ServedModel::BeginRest(std::size_t r, int32_t first, int32_t count) {
  const RolloutRequest& request = requests_[r];
  const Rollout& so_far = results_[r][static_cast<std::size_t>(first)];
  const auto drawn = static_cast<int32_t>(so_far.tokens.size());
  Work work{Step::kRest, r, first, count};
  work.call.prompt = request.prefix;
  work.call.prompt.insert(work.call.prompt.end(), so_far.tokens.begin(), so_far.tokens.end());
  work.call.count = count;
  work.call.max_tokens = request.max_new_tokens - drawn;
  if (options_.portion > 0) work.call.max_tokens = std::min(work.call.max_tokens, options_.portion);
  work.call.sampling = SamplingOf(request);
  work.call.logprobs = work.call.sampling.temperature > 0;
  work.call.seed = SeedOf(request, first, drawn == 0 ? 0 : kernels::MixStream(3, drawn));
  work.call.stop = options_.stop;
  Send(std::move(work));
}

void ServedModel::Take(int64_t id, const json& answer) {
  const auto found = open_.find(id);
  const CompletionAnswer read = dialect_.Read(found->second.call, answer);
  // Nothing is changed before the whole answer is known to be good.
  if (found->second.step == Step::kFirst)
    for (const Completion& completion : read.completions)
      for (const auto& [token, bias] : found->second.call.bias)
        if (completion.tokens[0] == token)
          throw BadAnswer(fmt::format("the server drew token {}, which the request bans", token));
  const Work work = std::move(found->second);
  open_.erase(found);
  const int64_t sent = std::ssize(work.call.prompt);
  const int64_t cached = std::min(read.cached_tokens, sent);
  counters_.prefilled_tokens += sent - cached;
  counters_.reused_tokens += cached;
  if (work.step == Step::kRate) return TakeRate(work, read);
  if (work.step == Step::kList || !Complete(work, read)) Use(work, read);
}

void ServedModel::Use(const Work& work, const CompletionAnswer& answer) {
  if (work.step == Step::kList) return TakeList(work, answer);
  if (work.step == Step::kFirst) return TakeFirst(work, answer);
  for (int32_t i = 0; i < work.count; ++i)
    Add(work.request, work.first + i, answer.completions[static_cast<std::size_t>(i)]);
}

bool ServedModel::Complete(const Work& work, const CompletionAnswer& answer) {
  const int64_t id = next_id_++;
  Held held{work, answer};
  std::vector<Work> more;
  for (std::size_t c = 0; c < answer.completions.size(); ++c) {
    const Completion& completion = answer.completions[c];
    for (std::size_t k = 0; k < completion.logprobs.size(); ++k) {
      if (!std::isnan(completion.logprobs[k])) continue;
      auto prompt = work.call.prompt;
      prompt.insert(prompt.end(), completion.tokens.begin(),
                    completion.tokens.begin() + static_cast<std::ptrdiff_t>(k));
      Work rate{Step::kRate, work.request};
      rate.call = ListCall(std::move(prompt), FirstTop(work.call.sampling));
      rate.held = id;
      rate.completion = c;
      rate.token = k;
      more.push_back(std::move(rate));
    }
  }
  if (more.empty()) return false;
  held.missing = std::ssize(more);
  held_.emplace(id, std::move(held));
  for (Work& rate : more) Send(std::move(rate));
  return true;
}

void ServedModel::TakeRate(Work work, const CompletionAnswer& answer) {
  Held& held = held_.at(work.held);
  Completion& completion = held.answer.completions[work.completion];
  const TokenId token = completion.tokens[work.token];
  SamplingParams sampling = held.work.call.sampling;
  const auto logprob = RateIn(answer.completions[0].top, token, sampling);
  counters_.discarded_tokens += 1;
  if (!logprob) {
    if (work.call.top >= tokenizer_.VocabSize())
      Fail("the server does not tell the probability of token {}, which it drew", token);
    work.call.top = static_cast<int32_t>(
        std::min<int64_t>(int64_t{16} * work.call.top, tokenizer_.VocabSize()));
    return Send(std::move(work));
  }
  completion.logprobs[work.token] = *logprob;
  // What the bias of the first draw took is put right later: as if it had come after the bias.
  if (held.work.step == Step::kFirst && AfterBias(sampling) && !held.work.call.bias.empty())
    completion.logprobs[work.token] -=
        static_cast<float>(std::log(exclusions_.at(work.request).left));
  if (--held.missing > 0) return;
  const auto node = held_.extract(work.held);
  Use(node.mapped().work, node.mapped().answer);
}

CompletionCall ServedModel::ListCall(std::vector<TokenId> prompt, int32_t top) const {
  CompletionCall call;
  call.prompt = std::move(prompt);
  call.bias = {{ends_.empty() ? 0 : *ends_.begin(), -dialect_.Ban()}};
  call.top = top;
  return call;
}

std::optional<float> ServedModel::RateIn(const std::vector<RatedToken>& top, TokenId token,
                                         const SamplingParams& sampling) const {
  const auto found = std::ranges::find(top, token, &RatedToken::first);
  if (found == top.end()) return std::nullopt;
  if (IsPlain(sampling)) return found->second;
  if (std::ssize(top) < tokenizer_.VocabSize() && MassOf(top) < 1 - 1e-4) return std::nullopt;
  std::vector<float> logits(static_cast<std::size_t>(tokenizer_.VocabSize()),
                            -std::numeric_limits<float>::infinity());
  for (const auto& [other, logprob] : top) logits[static_cast<std::size_t>(other)] = logprob;
  kernels::RowSampler sampler;
  sampler.Take(logits, sampling);
  return static_cast<float>(std::log(logits[static_cast<std::size_t>(token)] / sampler.sum()));
}

void ServedModel::Add(std::size_t r, int32_t i, const Completion& completion) {
  const RolloutRequest& request = requests_[r];
  Rollout& rollout = results_[r][static_cast<std::size_t>(i)];
  const auto before = rollout.tokens.size();
  if (completion.end == CompletionEnd::kEos) ends_.insert(completion.tokens.back());
  std::vector<TokenId> response;
  if (request.stop) {
    response.assign(request.prefix.end() - request.response_tokens, request.prefix.end());
    response.insert(response.end(), rollout.tokens.begin(), rollout.tokens.end());
  }
  const auto report = [&](FinishReason finish) {
    rollout.finish = finish;
    counters_.discarded_tokens +=
        std::ssize(completion.tokens) - std::ssize(rollout.tokens) + static_cast<int64_t>(before);
    if (options_.on_tokens)
      options_.on_tokens(r, i, std::span<const TokenId>(rollout.tokens).subspan(before));
    Report(r, i);
  };
  for (std::size_t k = 0; k < completion.tokens.size(); ++k) {
    const TokenId token = completion.tokens[k];
    rollout.tokens.push_back(token);
    // At temperature 0 the token was certain.
    rollout.logprobs.push_back(completion.logprobs.empty() || SamplingOf(request).temperature == 0
                                   ? 0.0f
                                   : completion.logprobs[k]);
    if (k + 1 == completion.tokens.size() && completion.end == CompletionEnd::kEos)
      return report(FinishReason::kEos);
    if (!request.stop) continue;
    response.push_back(token);
    if (request.stop(response)) return report(FinishReason::kStop);
  }
  if (std::ssize(rollout.tokens) >= request.max_new_tokens) return report(FinishReason::kLength);
  // A first token, a portion, or a text at which the server stopped and the rule does not.
  if (options_.on_tokens)
    options_.on_tokens(r, i, std::span<const TokenId>(rollout.tokens).subspan(before));
  BeginRest(r, i, 1);
}

void ServedModel::Report(std::size_t r, int32_t i) {
  const Rollout& rollout = results_[r][static_cast<std::size_t>(i)];
  counters_.rollouts += 1;
  counters_.decoded_tokens += std::ssize(rollout.tokens);
  if (*finished_) (*finished_)(r, i, rollout);
}

std::vector<TokenScore> ServedModel::Score(std::span<const TokenId> prefix,
                                           std::span<const TokenId> continuation) {
  if (!IsPlain(options_.sampling))
    Fail("a served policy is scored at temperature 1 and without top-k, top-p and min-p alone");
  const ScoreRequest request{{prefix.begin(), prefix.end()},
                             {continuation.begin(), continuation.end()}};
  return ScoreAll({&request, 1}, Progress())[0];
}

CompletionCall ServedModel::ForcedCall(std::span<const TokenId> prefix, TokenId token) const {
  CompletionCall call;
  call.prompt.assign(prefix.begin(), prefix.end());
  call.bias = {{token, -dialect_.Ban()}};
  call.top = 2;
  return call;
}

std::vector<std::vector<TokenScore>> ServedModel::ScoreAll(std::span<const ScoreRequest> requests,
                                                           const Progress& progress) {
  struct Part {
    std::size_t request, token;
    std::vector<TokenId> sequence;
    CompletionCall call;
    bool lists = false;  // the token did not come with its log-probability when it was forced
  };
  if (!dialect_.ScoresPrompts() && facts_.logprobs_after_bias)
    Fail("this server gives log-probabilities after logit_bias and cannot score tokens");
  std::vector<std::vector<TokenScore>> scores(requests.size());
  std::map<int64_t, Part> parts;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const auto& [prefix, continuation] = requests[r];
    if (prefix.empty()) Fail("the prefix of a score is empty");
    if (continuation.empty()) continue;
    std::vector<TokenId> sequence = prefix;
    scores[r].resize(continuation.size());
    const auto longest = std::ssize(prefix) + std::ssize(continuation) + 1;
    if (facts_.max_positions > 0 && longest > facts_.max_positions)
      Fail("a sequence of {} tokens cannot be scored: the server reads {}, with one that follows",
           longest - 1, facts_.max_positions);
    if (dialect_.ScoresPrompts()) {
      sequence.insert(sequence.end(), continuation.begin(), continuation.end());
      pool_.Submit(next_id_, dialect_.ScoreCall(sequence, prefix.size()));
      parts[next_id_++] = {r, 0, std::move(sequence), {}, false};
      continue;
    }
    for (std::size_t k = 0; k < continuation.size(); ++k) {
      CompletionCall call = ForcedCall(sequence, continuation[k]);
      pool_.Submit(next_id_, dialect_.Request(call));
      parts[next_id_++] = {r, k, {}, std::move(call), false};
      sequence.push_back(continuation[k]);
    }
  }
  pool_.Run(
      [&](int64_t id, const json& answer) {
        Part& part = parts.at(id);
        const ScoreRequest& request = requests[part.request];
        if (dialect_.ScoresPrompts()) {
          scores[part.request] = dialect_.ReadScores(part.sequence, request.prefix.size(), answer);
        } else {
          const Completion drawn = dialect_.Read(part.call, answer).completions[0];
          const TokenId token = request.continuation[part.token];
          if (!part.lists && drawn.tokens[0] != token)
            throw BadAnswer(fmt::format("the server drew token {} where {} was forced",
                                        drawn.tokens[0], token));
          const auto logprob = !part.lists && !std::isnan(drawn.logprobs[0])
                                   ? std::optional<float>(drawn.logprobs[0])
                                   : RateIn(drawn.top, token, {});
          if (!logprob) {
            const int32_t top = part.lists ? tokenizer_.VocabSize() : FirstTop({});
            if (part.lists && part.call.top >= top)
              Fail("the server does not tell the probability of token {}", token);
            Part again{part.request, part.token, {}, ListCall(part.call.prompt, top), true};
            pool_.Submit(next_id_, dialect_.Request(again.call));
            parts[next_id_++] = std::move(again);
          } else {
            scores[part.request][part.token] = ScoreOf(*logprob, token, drawn.top);
          }
        }
        parts.erase(id);
      },
      progress);
  return scores;
}

}  // namespace
}  // namespace pivotal::pts

namespace pivotal {
namespace {

// Returns true unless the address names a port that is none. `host`: where its host begins.
bool HasPort(const std::string& url, std::size_t host) {
  const std::string authority = url.substr(host, url.find('/', host) - host);
  const auto colon = authority.rfind(':');
  if (colon == std::string::npos || authority.ends_with(']')) return true;
  const std::string port = authority.substr(colon + 1);
  return !port.empty() && port.size() <= 5 &&
         port.find_first_not_of("0123456789") == std::string::npos && std::stoi(port) <= 65535;
}

}  // namespace

void ServedSettings::Validate() const {
  if (urls.empty()) Fail("a served policy needs an address, such as http://127.0.0.1:8000/v1");
  for (const std::string& url : urls) {
    const bool http = url.starts_with("http://") || url.starts_with("https://");
    const auto host = url.find("://") + 3;
    const bool is_path = url.ends_with("/completions") || url.ends_with("/models");
    if (!http || host >= url.size() || url[host] == '/' || is_path || !HasPort(url, host) ||
        url.find_first_of(" \t\r\n?#") != std::string::npos)
      Fail("{} is no address of a server: it is written like http://127.0.0.1:8000/v1",
           data::Quoted(url));
    if (url.find('@') != std::string::npos)
      Fail(
          "an address of a server holds a name or a key, which would be written into files; put "
          "the key into the environment variable PIVOTAL_API_KEY");
  }
  if (server != "auto") pts::kServerNames.Parse(server);
  if (concurrency < 1) Fail("concurrency is {}, must be 1 or larger", concurrency);
  if (!(timeout > 0)) Fail("timeout is {}, must be above 0", timeout);
  if (!(give_up > 0)) Fail("give_up is {}, must be above 0", give_up);
}

std::unique_ptr<ServedPolicy> ServedPolicy::Connect(const ServedSettings& settings,
                                                    const Tokenizer& tokenizer, Options options,
                                                    const Progress& progress) {
  settings.Validate();
  options.sampling.Validate();
  return std::make_unique<pts::ServedModel>(settings, tokenizer, std::move(options), progress);
}

}  // namespace pivotal
