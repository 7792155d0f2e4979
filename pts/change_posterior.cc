// Apache-2.0.
#include "pts/change_posterior.h"

#include <array>
#include <cmath>
#include <numbers>

namespace pivotal::pts {
namespace {

constexpr std::array kDeviations = {0.01, 0.05, 0.1, 0.2, 0.4};  // of the prior's components
// Imaginary changes of each component. They rule where few were measured.
constexpr std::array kImaginary = {2.0, 0.25, 0.25, 0.25, 0.25};
constexpr int kSteps = 200;  // of expectation and maximisation; they converge in fewer

using Component = std::array<double, kDeviations.size()>;

double NormalDensity(double x, double variance) {
  return std::exp(-0.5 * x * x / variance) / std::sqrt(2 * std::numbers::pi * variance);
}

// Returns P(X > x) for a normal X.
double UpperTail(double x, double mean, double deviation) {
  return NormalCdf((mean - x) / deviation);
}

// Returns the density of the estimate under each component.
Component Densities(const MeasuredChange& change) {
  Component densities;
  for (std::size_t c = 0; c < kDeviations.size(); ++c)
    densities[c] =
        NormalDensity(change.mean, change.variance + kDeviations[c] * kDeviations[c]) + 1e-300;
  return densities;
}

double Sum(const Component& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum;
}

}  // namespace

ChangePrior::ChangePrior(std::span<const MeasuredChange> changes)
    : weights_(kImaginary.begin(), kImaginary.end()) {
  for (double& weight : weights_) weight /= Sum(kImaginary);
  std::vector<Component> densities;
  for (const MeasuredChange& change : changes) densities.push_back(Densities(change));
  const double total = Sum(kImaginary) + static_cast<double>(changes.size());
  for (int step = 0; step < kSteps; ++step) {
    Component counts = kImaginary;
    for (const Component& density : densities) {
      Component share;
      for (std::size_t c = 0; c < share.size(); ++c) share[c] = weights_[c] * density[c];
      const double sum = Sum(share);
      for (std::size_t c = 0; c < share.size(); ++c) counts[c] += share[c] / sum;
    }
    for (std::size_t c = 0; c < counts.size(); ++c) weights_[c] = counts[c] / total;
  }
}

double ChangePrior::Reaches(const MeasuredChange& change, double gap) const {
  const Component densities = Densities(change);
  double sum = 0, reaches = 0;
  for (std::size_t c = 0; c < densities.size(); ++c) {
    const double share = weights_[c] * densities[c];
    const double spread = kDeviations[c] * kDeviations[c];
    const double keeps = spread / (spread + change.variance);
    const double mean = keeps * change.mean, deviation = std::sqrt(keeps * change.variance);
    sum += share;
    reaches += share * (UpperTail(gap, mean, deviation) + UpperTail(gap, -mean, deviation));
  }
  return reaches / sum;
}

double ChangePrior::Mean(const MeasuredChange& change) const {
  const Component densities = Densities(change);
  double sum = 0, mean = 0;
  for (std::size_t c = 0; c < densities.size(); ++c) {
    const double share = weights_[c] * densities[c];
    const double spread = kDeviations[c] * kDeviations[c];
    sum += share;
    mean += share * change.mean * spread / (spread + change.variance);
  }
  return mean / sum;
}

std::map<int32_t, MeasuredChange> ChangesOf(const SuccessTrie& trie, const Strata& strata,
                                            double gap) {
  std::map<int32_t, MeasuredChange> changes;
  for (int32_t node = 1; node < trie.size(); ++node) {
    if (!trie.CanBePivotal(node, gap)) continue;
    const LinearEstimate change = strata.Change(trie[node].parent, node);
    // A change without any doubt has no terms; the least variance keeps divisions finite.
    changes[node] = {change.Mean(), change.Variance() + 1e-9};
  }
  return changes;
}

std::vector<MeasuredChange> MeasuredChanges(std::span<const QueryTrace> run, double gap) {
  std::vector<MeasuredChange> measured;
  for (const QueryTrace& query : run) {
    if (query.responses.empty() || query.rollouts.empty()) continue;
    const SuccessTrie trie = TrieOf(query);
    for (const auto& [node, change] : ChangesOf(trie, Strata(trie, gap), gap))
      measured.push_back(change);
  }
  return measured;
}

std::vector<double> MeanChanges(const SuccessTrie& trie, const Strata& strata,
                                const ChangePrior& prior, int32_t response) {
  const auto path = trie.Path(response);
  std::vector<double> means;
  for (std::size_t k = 1; k < path.size(); ++k) {
    const LinearEstimate change = strata.Change(path[k - 1], path[k]);
    means.push_back(prior.Mean({change.Mean(), change.Variance()}));
  }
  return means;
}

ChangePosterior::ChangePosterior(const SuccessTrie& trie, const Strata& strata, double gap)
    : pivotal_(trie.size(), 0.0) {
  const auto changes = ChangesOf(trie, strata, gap);
  std::vector<MeasuredChange> measured;
  for (const auto& [node, change] : changes) measured.push_back(change);
  const ChangePrior prior(measured);
  for (const auto& [node, change] : changes) pivotal_[node] = prior.Reaches(change, gap);
}

}  // namespace pivotal::pts
