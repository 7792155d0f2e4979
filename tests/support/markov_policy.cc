// Apache-2.0.
#include "tests/support/markov_policy.h"

#include <cmath>
#include <utility>

#include "data/base/error.h"
#include "kernels/philox.h"

namespace pivotal::testing {

bool MarkovChain::IsRight(TokenId last_of_prompt, std::span<const TokenId> response) const {
  if (response.empty() || response.back() != eos) return false;
  return right[response.size() > 1 ? response[response.size() - 2] : last_of_prompt];
}

namespace {

// A chain split into the probability that the next token is EOS and ends a right response, and the
// transitions to all other tokens.
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

MarkovPolicy::MarkovPolicy(MarkovChain chain, uint64_t seed)
    : TablePolicy(seed), chain_(std::move(chain)), moves_(chain_.right.size()) {
  for (TokenId last = 0; last < chain_.VocabSize(); ++last)
    for (TokenId next = 0; next < chain_.VocabSize(); ++next)
      if (chain_.transition(last, next) > 0)
        moves_[last].push_back({next, chain_.transition(last, next)});
}

std::vector<std::vector<Rollout>> MarkovPolicy::Sample(std::span<const RolloutRequest> requests,
                                                       const Progress& progress,
                                                       const RolloutSink& finished) {
  ++calls_;
  return TablePolicy::Sample(requests, progress, finished);
}

void MarkovPolicy::Note(const RolloutRequest& request) {
  if (request.prefix.empty()) Fail("markov policy: the prefix is empty");
  if (request.max_new_tokens < 1) Fail("markov policy: max_new_tokens must be at least 1");
  if (IsEnd(request.prefix.back())) Fail("markov policy: the prefix ends in EOS");
  log_.push_back(request);
}

}  // namespace pivotal::testing
