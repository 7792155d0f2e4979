// Apache-2.0. PolicyOf(): a policy of a next-token distribution.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "kernels/sample_row.h"
#include "pivotal/policy.h"

namespace pivotal {
namespace {

// The tokens that may come next, ascending, and log(probability) of each, as a sampler takes a row.
struct Row {
  std::vector<TokenId> tokens;
  std::vector<float> logits;

  // Returns the index of `token`, or -1.
  int32_t Find(TokenId token) const {
    const auto found = std::lower_bound(tokens.begin(), tokens.end(), token);
    return found != tokens.end() && *found == token ? static_cast<int32_t>(found - tokens.begin())
                                                    : -1;
  }
};

class DistributionPolicy : public Policy {
 public:
  DistributionPolicy(NextTokenDistribution next, PolicyOfOptions options)
      : next_(std::move(next)), options_(std::move(options)) {
    if (!next_) Fail("PolicyOf: the distribution is an empty function");
    options_.sampling.Validate();
  }

  std::vector<std::vector<Rollout>> Sample(std::span<const RolloutRequest> requests,
                                           const Progress& progress,
                                           const RolloutSink& finished) override {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::vector<Rollout>> all(requests.size());
    for (std::size_t r = 0; r < requests.size(); ++r) {
      const RolloutRequest& request = requests[r];
      if (request.prefix.empty()) Fail("request {}: the prefix is empty", r);
      if (request.count < 0) Fail("request {}: count {} is negative", r, request.count);
      if (request.max_new_tokens < 1)
        Fail("request {}: max_new_tokens {} is below 1", r, request.max_new_tokens);
      if (request.response_tokens < 0 || request.response_tokens > std::ssize(request.prefix))
        Fail("request {}: response_tokens {} is not in 0..{}", r, request.response_tokens,
             request.prefix.size());
      if (request.sampling) request.sampling->Validate();
      counters_.prefilled_tokens += std::ssize(request.prefix);
      for (int32_t i = 0; i < request.count; ++i) {
        if (progress.StopRequested()) throw Interrupted("sampling was stopped");
        all[r].push_back(SampleOne(request, request.first_rollout + static_cast<uint32_t>(i)));
        counters_.rollouts += 1;
        counters_.decoded_tokens += std::ssize(all[r].back().tokens);
        if (finished) finished(r, i, all[r].back());
      }
    }
    counters_.seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return all;
  }

  std::vector<TokenScore> Score(std::span<const TokenId> prefix,
                                std::span<const TokenId> continuation) override {
    if (prefix.empty()) Fail("PolicyOf: the prefix of a score is empty");
    std::vector<TokenId> sequence(prefix.begin(), prefix.end());
    std::vector<TokenScore> scores;
    for (const TokenId token : continuation) {
      Row row = Next(sequence);
      sampler_.Take(row.logits, options_.sampling);  // logits become weights
      TokenScore score{.logprob = -std::numeric_limits<float>::infinity(),
                       .runner_up_logprob = -std::numeric_limits<float>::infinity()};
      for (std::size_t i = 0; i < row.tokens.size(); ++i) {
        const double p = row.logits[i] / sampler_.sum();
        if (p <= 0) continue;
        const auto logprob = static_cast<float>(std::log(p));
        score.entropy -= static_cast<float>(p * std::log(p));
        if (row.tokens[i] == token) {
          score.logprob = logprob;
        } else if (logprob > score.runner_up_logprob) {
          score.runner_up = row.tokens[i];
          score.runner_up_logprob = logprob;
        }
      }
      scores.push_back(score);
      sequence.push_back(token);
    }
    return scores;
  }

  RolloutCounters counters() const override { return counters_; }

 private:
  Row Next(std::span<const TokenId> prefix) const {
    auto choices = next_(prefix);
    std::sort(choices.begin(), choices.end());
    Row row;
    for (const auto& [token, p] : choices) {
      if (token < 0) Fail("PolicyOf: token {} is negative, after {} tokens", token, prefix.size());
      if (!(p >= 0) || !std::isfinite(p))
        Fail("PolicyOf: token {} has probability {} after {} tokens", token, p, prefix.size());
      if (!row.tokens.empty() && row.tokens.back() == token)
        Fail("PolicyOf: token {} is listed twice after {} tokens", token, prefix.size());
      row.tokens.push_back(token);
      row.logits.push_back(p > 0 ? static_cast<float>(std::log(p))
                                 : -std::numeric_limits<float>::infinity());
    }
    if (std::none_of(choices.begin(), choices.end(), [](const auto& c) { return c.second > 0; }))
      Fail("PolicyOf: no token may follow after {} tokens", prefix.size());
    return row;
  }

  Rollout SampleOne(const RolloutRequest& request, uint32_t rollout) {
    Rollout result;
    std::vector<TokenId> sequence = request.prefix;
    const std::size_t response =
        sequence.size() - static_cast<std::size_t>(request.response_tokens);
    while (true) {
      Row row = Next(sequence);
      std::vector<int32_t> excluded;
      if (result.tokens.empty())
        for (const TokenId token : request.excluded)
          if (const int32_t index = row.Find(token); index >= 0) excluded.push_back(index);
      kernels::Draw draw;
      try {
        sampler_.Take(row.logits, request.sampling.value_or(options_.sampling), excluded);
        draw = sampler_.Sample(kernels::Uniform(options_.seed, request.stream, rollout,
                                                static_cast<uint32_t>(result.tokens.size())));
      } catch (const Error& error) {
        Fail("PolicyOf: after {} tokens: {}", sequence.size(), error.what());
      }
      const TokenId token = row.tokens[static_cast<std::size_t>(draw.token)];
      result.tokens.push_back(token);
      result.logprobs.push_back(draw.logprob);
      sequence.push_back(token);
      if (std::ranges::find(options_.end_tokens, token) != options_.end_tokens.end()) {
        result.finish = FinishReason::kEos;
        return result;
      }
      if (request.stop && request.stop(std::span(sequence).subspan(response))) {
        result.finish = FinishReason::kStop;
        return result;
      }
      if (std::ssize(result.tokens) >= request.max_new_tokens) {
        result.finish = FinishReason::kLength;
        return result;
      }
    }
  }

  NextTokenDistribution next_;
  PolicyOfOptions options_;
  kernels::RowSampler sampler_;
  RolloutCounters counters_;
};

}  // namespace

std::unique_ptr<Policy> PolicyOf(NextTokenDistribution next, PolicyOfOptions options) {
  return std::make_unique<DistributionPolicy>(std::move(next), std::move(options));
}

}  // namespace pivotal
