// Apache-2.0.
#include "pts/answer_strata.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace pivotal::pts {

double SumOf(std::span<const double> counts) {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

std::vector<double> AnswerGuess(int32_t answers) {
  if (answers == 1) return {1};
  std::vector<double> guess(static_cast<std::size_t>(answers), 0.5 / (answers - 1));
  guess[0] = 0.5;
  return guess;
}

double LogMarginal(std::span<const double> parameters, std::span<const double> counts) {
  double log = 0, prior = 0, samples = 0;
  for (std::size_t a = 0; a < counts.size(); ++a) {
    prior += parameters[a];
    samples += counts[a];
    if (counts[a] > 0) log += std::lgamma(parameters[a] + counts[a]) - std::lgamma(parameters[a]);
  }
  return samples > 0 ? log + std::lgamma(prior) - std::lgamma(prior + samples) : 0;
}

std::vector<double> AnswerEstimate::Mean() const {
  std::vector<double> mean = constant;
  for (const Term& term : terms) {
    const double samples = SumOf(term.counts);
    for (std::size_t a = 0; a < mean.size(); ++a)
      mean[a] += term.weight * (samples > 0 ? term.counts[a] / samples : term.guess[a]);
  }
  return mean;
}

LinearEstimate AnswerEstimate::Of(int32_t answer) const {
  const auto a = static_cast<std::size_t>(answer);
  LinearEstimate estimate;
  estimate.constant = constant[a];
  for (const Term& term : terms)
    estimate.terms.push_back({term.weight,
                              {static_cast<int32_t>(std::lround(SumOf(term.counts))),
                               static_cast<int32_t>(std::lround(term.counts[a]))},
                              -1,
                              1,
                              term.guess[a]});
  return estimate;
}

AnswerCounts AnswerEstimate::AsCounts() const {
  constexpr double kMost = 1000;
  const auto answers = static_cast<int32_t>(constant.size());
  const auto guess = AnswerGuess(answers);
  std::vector<double> mean = constant;
  double variance = 0;  // summed over the answers
  for (const Term& term : terms) {
    const double samples = SumOf(term.counts) + 2;
    for (std::size_t a = 0; a < mean.size(); ++a) {
      const double m = (term.counts[a] + 2 * guess[a]) / samples;
      mean[a] += term.weight * m;
      variance += term.weight * term.weight * m * (1 - m) / (samples + 1);
    }
  }
  double spread = 0;  // the variance of a single rollout
  for (const double m : mean) spread += m * (1 - m);
  const double total = variance * (kMost + 3) > spread ? spread / variance - 1 : kMost + 2;
  AnswerCounts counts(mean.size());
  for (std::size_t a = 0; a < mean.size(); ++a)
    counts[a] = std::max(0.0, total * mean[a] - 2 * guess[a]);
  return counts;
}

AnswerStrata::AnswerStrata(const QueryTrace& trace, const AnswerTable& table, double gap) {
  QueryTrace turned = trace;
  for (int32_t answer = 0; answer < table.size(); ++answer) {
    for (std::size_t i = 0; i < turned.responses.size(); ++i)
      turned.responses[i].success = table.of_response[i] == answer;
    for (std::size_t i = 0; i < turned.rollouts.size(); ++i)
      turned.rollouts[i].success = table.of_rollout[i] == answer;
    parts_.push_back(std::make_unique<Part>(turned, gap));
  }
}

// The estimates of all answers have the same terms.
template <typename Get>
AnswerEstimate AnswerStrata::Joined(Get&& get) const {
  const auto guess = AnswerGuess(answers());
  AnswerEstimate joined;
  for (std::size_t a = 0; a < parts_.size(); ++a) {
    const LinearEstimate estimate = get(*parts_[a]);
    joined.constant.push_back(estimate.constant);
    joined.terms.resize(estimate.terms.size());
    for (std::size_t i = 0; i < estimate.terms.size(); ++i) {
      const LinearEstimate::Term& term = estimate.terms[i];
      AnswerEstimate::Term& to = joined.terms[i];
      to.weight = term.weight;
      to.counts.push_back(term.estimate.successes);
      to.guess.push_back(term.guess);
      // Where there are no hints either, every answer has the same guess.
      if (a + 1 == parts_.size() && std::abs(SumOf(to.guess) - 1) > 1e-9) to.guess = guess;
    }
  }
  return joined;
}

AnswerEstimate AnswerStrata::Value(int32_t node) const {
  return Joined([=](const Part& part) { return part.strata.Value(node); });
}

AnswerEstimate AnswerStrata::WithoutToken(int32_t node) const {
  return Joined([=](const Part& part) { return part.strata.WithoutToken(node); });
}

AnswerCounts AnswerStrata::Left(int32_t stratum) const {
  AnswerCounts counts;
  for (const auto& part : parts_) counts.push_back(part->strata.Left(stratum).successes);
  return counts;
}

AnswerCounts AnswerStrata::Branch(int32_t node, TokenId token) const {
  AnswerCounts counts;
  for (const auto& part : parts_)
    counts.push_back(part->trie[node].branches.at(token).estimate.successes);
  return counts;
}

}  // namespace pivotal::pts
