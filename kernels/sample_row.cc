// Apache-2.0.
#include "kernels/sample_row.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/cpu_kernels.h"
#include "pivotal/error.h"

namespace pivotal {

void SamplingParams::Validate() const {
  if (!(temperature >= 0) || !std::isfinite(temperature))
    throw Error("temperature must be 0 or larger");
  if (top_k < 0) throw Error("top_k must be 0 (off) or larger");
  if (!(top_p > 0 && top_p <= 1)) throw Error("top_p must be in (0, 1]");
  if (!(min_p >= 0 && min_p < 1)) throw Error("min_p must be in [0, 1)");
}

}  // namespace pivotal

namespace pivotal::kernels {
namespace {

// Returns the largest logit. Throws for an empty row, NaN, +inf and a row of only -inf.
float MaxLogit(std::span<const float> logits) {
  if (logits.empty()) throw Error("sampling: the row has no logits");
  const float max = Kernels().row_max(logits.data(), static_cast<int64_t>(logits.size()));
  if (!std::isfinite(max)) throw Error("sampling: the row of logits has NaN, +inf or only -inf");
  return max;
}

// Keeps, of the k largest weights, the fewest that hold `top_p` of their sum, and zeroes all other
// weights. Sorts the kept tokens to the front of `order`.
void KeepTop(std::span<float> weights, int64_t k, double top_p, std::vector<int32_t>& order) {
  const auto vocab = static_cast<int64_t>(weights.size());
  order.resize(weights.size());
  std::iota(order.begin(), order.end(), 0);
  const auto heavier = [&](int32_t a, int32_t b) {
    return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
  };
  if (k < vocab) std::nth_element(order.begin(), order.begin() + k, order.end(), heavier);
  std::sort(order.begin(), order.begin() + k, heavier);
  double mass = 0;
  for (int64_t i = 0; i < k; ++i) mass += weights[order[i]];
  double before = 0;  // mass of the tokens ahead of order[keep]
  int64_t keep = 0;
  while (keep < k && (keep == 0 || before < top_p * mass)) before += weights[order[keep++]];
  for (int64_t i = keep; i < vocab; ++i) weights[order[i]] = 0;
}

}  // namespace

void RowSampler::SumChunks() {
  for (std::size_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    const auto first = weights_.begin() + static_cast<std::ptrdiff_t>(chunk) * kSumChunk;
    const auto size = std::min<std::ptrdiff_t>(kSumChunk, weights_.end() - first);
    chunks_[chunk] = std::accumulate(first, first + size, 0.0f);
  }
}

void RowSampler::Take(std::span<float> logits, const SamplingParams& params,
                      std::span<const int32_t> excluded) {
  weights_ = logits;
  const auto vocab = static_cast<int64_t>(logits.size());
  const float max = MaxLogit(logits);
  chunks_.resize((logits.size() + kSumChunk - 1) / kSumChunk);
  const auto total = [this] { return std::accumulate(chunks_.begin(), chunks_.end(), 0.0); };
  if (params.temperature == 0) {
    const auto top = std::find(logits.begin(), logits.end(), max) - logits.begin();
    std::fill(logits.begin(), logits.end(), 0.0f);
    logits[static_cast<std::size_t>(top)] = 1.0f;
    SumChunks();
  } else {
    Kernels().row_exp(logits.data(), vocab, max, static_cast<float>(1.0 / params.temperature),
                      logits.data(), chunks_.data());
    const bool by_k = params.top_k > 0 && params.top_k < vocab;
    if (by_k || params.top_p < 1.0)
      KeepTop(weights_, by_k ? params.top_k : vocab, params.top_p, order_);
    if (params.min_p > 0)
      for (float& w : weights_) w = w < params.min_p ? 0 : w;  // the top weight is 1
    if (by_k || params.top_p < 1.0 || params.min_p > 0) SumChunks();
  }
  sum_ = left_ = total();
  if (excluded.empty()) return;
  for (int32_t id : excluded) weights_[id] = 0;
  SumChunks();  // not by subtraction: only a millionth of the mass may be left
  left_ = total();
  if (left_ == 0) throw Error("sampling: every token that the policy allows is excluded");
}

Draw RowSampler::Sample(double uniform) const {
  const double target = uniform * left_;
  double running = 0;
  std::size_t chunk = 0;
  while (chunk + 1 < chunks_.size() && running + chunks_[chunk] <= target)
    running += chunks_[chunk++];
  while (chunks_[chunk] == 0)
    running -= chunks_[--chunk];  // rounding put the target past the last weight
  const std::size_t first = chunk * kSumChunk, end = std::min(weights_.size(), first + kSumChunk);
  std::size_t token = first;
  for (std::size_t i = first; i < end; ++i) {
    if (weights_[i] == 0) continue;
    token = i;
    running += weights_[i];
    if (running > target) break;
  }
  return {static_cast<int32_t>(token), static_cast<float>(std::log(weights_[token] / sum_))};
}

}  // namespace pivotal::kernels
