// Apache-2.0.
#include "kernels/sample_row.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace pivotal::kernels {
namespace {

// Index of the largest logit, lowest id on ties. Throws for NaN and +inf.
std::size_t ArgMax(std::span<const float> logits) {
  if (logits.empty()) throw std::invalid_argument("sampling: a row without logits");
  std::size_t best = 0;
  bool finite = true;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    finite &= logits[i] < std::numeric_limits<float>::infinity();  // false for NaN too
    if (logits[i] > logits[best]) best = i;
  }
  if (!finite || logits[best] == -std::numeric_limits<float>::infinity())
    throw std::invalid_argument("sampling: a row of logits with NaN, +inf or only -inf");
  return best;
}

// weights[i] = exp((logits[i] - max) / temperature); returns their sum.
double Exponentiate(std::span<const float> logits, double temperature, float max,
                    std::span<float> weights) {
  const float scale = static_cast<float>(1.0 / temperature);
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    weights[i] = std::exp((logits[i] - max) * scale);
    sum += weights[i];
  }
  return sum;
}

// Zeroes the weights that the filters remove; returns the sum of the rest. The top weight is 1.
double Filter(const SamplingParams& params, double sum, std::span<float> weights) {
  const auto vocab = static_cast<int64_t>(weights.size());
  const bool by_k = params.top_k > 0 && params.top_k < vocab;
  if (by_k || params.top_p < 1.0) {
    std::vector<int32_t> order(weights.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
    });
    const int64_t k = by_k ? params.top_k : vocab;
    double mass = 0;
    for (int64_t i = 0; i < k; ++i) mass += weights[order[i]];
    double before = 0;  // mass of the tokens ahead in the order
    int64_t keep = 0;
    while (keep < k && (keep == 0 || before < params.top_p * mass)) before += weights[order[keep++]];
    for (int64_t i = keep; i < vocab; ++i) weights[order[i]] = 0;
    sum = before;
  }
  if (params.min_p > 0) {
    sum = 0;
    for (float& w : weights) {
      if (w < params.min_p) w = 0;
      sum += w;
    }
  }
  return sum;
}

// weights [V]: proportional to the policy; returns their sum.
double Weigh(std::span<const float> logits, const SamplingParams& params,
             std::span<float> weights) {
  const std::size_t top = ArgMax(logits);
  if (params.temperature == 0) {
    std::fill(weights.begin(), weights.end(), 0.0f);
    weights[top] = 1.0f;
    return 1.0;
  }
  return Filter(params, Exponentiate(logits, params.temperature, logits[top], weights), weights);
}

// Zeroes the weights of `excluded`; returns the sum of the rest, added up anew: what is left may be
// a millionth of the whole.
double StrikeOut(std::span<const int32_t> excluded, double sum, std::span<float> weights) {
  if (excluded.empty()) return sum;
  for (int32_t id : excluded) weights[id] = 0;
  const double left = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (left == 0) throw std::invalid_argument("sampling: every token that the policy allows is excluded");
  return left;
}

}  // namespace

void SamplingParams::Validate() const {
  if (!(temperature >= 0) || !std::isfinite(temperature))
    throw std::invalid_argument("temperature must be 0 or larger");
  if (top_k < 0) throw std::invalid_argument("top_k must be 0 (off) or larger");
  if (!(top_p > 0 && top_p <= 1)) throw std::invalid_argument("top_p must be in (0, 1]");
  if (!(min_p >= 0 && min_p < 1)) throw std::invalid_argument("min_p must be in [0, 1)");
}

Draw SampleRow(std::span<const float> logits, const SamplingParams& params, double uniform,
               std::span<float> workspace, std::span<const int32_t> excluded) {
  const auto weights = workspace.first(logits.size());
  if (params.temperature == 0 && excluded.empty())
    return {static_cast<int32_t>(ArgMax(logits)), 0.0f};
  const double sum = Weigh(logits, params, weights);
  const double target = uniform * StrikeOut(excluded, sum, weights);
  double running = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    last = i;
    running += weights[i];
    if (running > target) break;
  }
  return {static_cast<int32_t>(last), static_cast<float>(std::log(weights[last] / sum))};
}

void PolicyRow(std::span<const float> logits, const SamplingParams& params,
               std::span<float> probabilities) {
  const double sum = Weigh(logits, params, probabilities);
  for (float& p : probabilities) p = static_cast<float>(p / sum);
}

}  // namespace pivotal::kernels
