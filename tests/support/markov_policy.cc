// Apache-2.0.
#include "tests/support/markov_policy.h"

#include <algorithm>
#include <cmath>

#include "data/error.h"
#include "kernels/philox.h"

namespace pivotal::testing {

bool MarkovChain::IsRight(TokenId last_of_prompt, std::span<const TokenId> response) const {
  if (response.empty() || response.back() != eos) return false;
  return right[response.size() > 1 ? response[response.size() - 2] : last_of_prompt];
}

namespace {

// Probability of ending right with the very next token, and transitions among tokens that go on.
struct Absorbing {
  Eigen::VectorXd ends_right;
  Eigen::MatrixXd goes_on;
};

Absorbing Split(const MarkovChain& chain) {
  Absorbing split{chain.transition.col(chain.eos), chain.transition};
  for (int32_t i = 0; i < chain.VocabSize(); ++i)
    if (!chain.right[i]) split.ends_right[i] = 0;
  split.ends_right[chain.eos] = 0;
  split.goes_on.col(chain.eos).setZero();
  split.goes_on.row(chain.eos).setZero();
  return split;
}

}  // namespace

Eigen::VectorXd MarkovChain::Success(int32_t remaining) const {
  const Absorbing split = Split(*this);
  Eigen::VectorXd success = Eigen::VectorXd::Zero(VocabSize());
  for (int32_t i = 0; i < remaining; ++i) success = split.ends_right + split.goes_on * success;
  return success;
}

Eigen::VectorXd MarkovChain::SuccessUnbounded() const {
  const Absorbing split = Split(*this);
  const Eigen::MatrixXd identity = Eigen::MatrixXd::Identity(VocabSize(), VocabSize());
  return (identity - split.goes_on).partialPivLu().solve(split.ends_right);
}

MarkovChain RandomChain(int32_t vocab, uint64_t seed) {
  kernels::RandomStream random(seed, kernels::MixStream(0, "chain"));
  MarkovChain chain;
  chain.eos = vocab - 1;
  chain.transition.resize(vocab, vocab);
  for (int32_t i = 0; i < vocab; ++i) {
    for (int32_t j = 0; j < vocab; ++j)
      chain.transition(i, j) = std::pow(-std::log1p(-random.Uniform()), 3);
    const double ends = 0.02 + 0.2 * random.Uniform();
    chain.transition(i, chain.eos) = 0;
    chain.transition.row(i) *= (1 - ends) / chain.transition.row(i).sum();
    chain.transition(i, chain.eos) = ends;
    chain.right.push_back(random.Uniform() < 0.5);
  }
  return chain;
}

MarkovChain ForkChain() {
  MarkovChain chain;
  chain.eos = 7;
  chain.right = {false, false, false, true, false, true, false, false};
  chain.transition = Eigen::MatrixXd::Zero(8, 8);
  chain.transition.row(0) << 0, 0.5, 0.5, 0, 0, 0, 0, 0;
  chain.transition.row(1) << 0, 0.4, 0.4, 0.1, 0.1, 0, 0, 0;
  chain.transition.row(2) << 0, 0.4, 0.4, 0.1, 0.1, 0, 0, 0;
  chain.transition(3, 5) = chain.transition(4, 6) = 1;
  chain.transition(5, 7) = chain.transition(6, 7) = chain.transition(7, 7) = 1;
  return chain;
}

model::Rollout MarkovPolicy::SampleOne(const model::RolloutRequest& request,
                                       uint32_t rollout) const {
  model::Rollout result;
  result.finish = data::FinishReason::kLength;
  TokenId last = request.prefix.back();
  for (int32_t position = 0; position < request.max_new_tokens; ++position) {
    const auto probability = [&](TokenId token) {
      const bool struck = position == 0 && std::ranges::find(request.excluded, token) != request.excluded.end();
      return struck ? 0.0 : chain_.transition(last, token);
    };
    double mass = 0;
    for (TokenId j = 0; j < chain_.VocabSize(); ++j) mass += probability(j);
    double left = mass * kernels::Uniform(seed_, request.stream, rollout, position);
    TokenId next = -1;
    for (TokenId j = 0; j < chain_.VocabSize() && left >= 0; ++j) {
      if (probability(j) == 0) continue;
      next = j;  // the last token that can be drawn, should the row sum fall short of 1
      left -= chain_.transition(last, j);
    }
    result.tokens.push_back(next);
    result.logprobs.push_back(static_cast<float>(std::log(chain_.transition(last, next))));
    last = next;
    if (last == chain_.eos) {
      result.finish = data::FinishReason::kEos;
      break;
    }
  }
  return result;
}

std::vector<std::vector<model::Rollout>> MarkovPolicy::Sample(
    std::span<const model::RolloutRequest> requests, const Progress& progress,
    const model::RolloutSink& finished) {
  ++calls_;
  std::vector<std::vector<model::Rollout>> results;
  for (const model::RolloutRequest& request : requests) {
    if (progress.StopRequested()) throw Interrupted("sampling stopped");
    if (request.prefix.empty()) Fail("markov policy: an empty prefix");
    if (request.max_new_tokens < 1) Fail("markov policy: no room for new tokens");
    if (request.prefix.back() == chain_.eos) Fail("markov policy: the prefix ends in EOS");
    log_.push_back(request);
    auto& rollouts = results.emplace_back();
    for (int32_t i = 0; i < request.count; ++i) {
      rollouts.push_back(SampleOne(request, request.first_rollout + i));
      counters_.decoded_tokens += static_cast<int64_t>(rollouts.back().tokens.size());
      if (finished) finished(results.size() - 1, i, rollouts.back());
    }
    counters_.rollouts += request.count;
    counters_.prefilled_tokens += static_cast<int64_t>(request.prefix.size());
  }
  counters_.seconds = 1e-6 * static_cast<double>(counters_.decoded_tokens);
  return results;
}

std::vector<model::TokenScore> MarkovPolicy::Score(std::span<const TokenId> prefix,
                                                   std::span<const TokenId> continuation) {
  std::vector<model::TokenScore> scores;
  TokenId last = prefix.back();
  for (TokenId token : continuation) {
    model::TokenScore score;
    score.logprob = static_cast<float>(std::log(chain_.transition(last, token)));
    double best = 0;
    for (TokenId j = 0; j < chain_.VocabSize(); ++j) {
      if (j == token || chain_.transition(last, j) <= best) continue;
      best = chain_.transition(last, j);
      score.runner_up = j;
    }
    score.runner_up_logprob = static_cast<float>(std::log(best));
    scores.push_back(score);
    last = token;
  }
  return scores;
}

}  // namespace pivotal::testing
