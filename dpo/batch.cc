// Apache-2.0.
#include "dpo/batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "data/base/error.h"
#include "model/layers.h"
#include "model/tensor_transfer.h"

namespace pivotal::dpo {
namespace {

// Largest number of logits in memory at once; model/memory.cc counts them.
constexpr int64_t kMaxLogits = int64_t{1} << 23;

// Computes the log-sum-exp of the logits over the vocabulary for `hidden` [U, hidden]: [U]. With
// `squares`, [U, 2]: beside it the log of the sum of squared probabilities, without gradient.
at::Tensor LogNormalisers(const model::PhiModel& model, const at::Tensor& hidden, bool squares) {
  const auto normalisers = [&model, squares](const at::Tensor& rows) {
    at::Tensor logits = model.Logits(rows);
    if (logits.scalar_type() != at::kDouble) logits = logits.to(at::kFloat);
    const at::Tensor log_sum = at::logsumexp(logits, -1);
    if (!squares) return log_sum;
    const at::Tensor of_squares = at::logsumexp(2 * logits.detach(), -1) - 2 * log_sum.detach();
    return at::stack({log_sum, of_squares}, -1);
  };
  const int64_t rows = std::max<int64_t>(1, kMaxLogits / model.config().vocab_size);
  if (hidden.size(0) <= rows) return normalisers(hidden);
  std::vector<at::Tensor> parts;
  for (const at::Tensor& part : hidden.split(rows))
    parts.push_back(model::Recompute(normalisers, part));
  return at::cat(parts);
}

}  // namespace

void RequireFits(const model::PhiModel& model, int64_t length, const std::string& name) {
  const int64_t limit = model.config().max_position_embeddings;
  if (length > limit)
    Fail("{}: {} tokens, but the model has {} positions; shorten it, or leave it out", name, length,
         limit);
}

BatchBuilder::BatchBuilder(const model::PhiModel& model)
    : model_(model), forest_(model.config().rope) {}

int64_t BatchBuilder::Add(std::span<const TokenId> prompt, std::span<const TokenId> completion,
                          std::span<const float> weights) {
  // The model reads all tokens but the last one, which it only predicts.
  std::vector<TokenId> inputs(prompt.begin(), prompt.end());
  inputs.insert(inputs.end(), completion.begin(), completion.end() - 1);
  const auto length = static_cast<int64_t>(inputs.size()) + 1;
  const int64_t sequence = forest_.Add(std::move(inputs), length);
  const auto index = static_cast<int64_t>(lengths_.size());
  for (std::size_t i = 0; i < completion.size(); ++i)
    targets_.push_back({sequence, static_cast<int64_t>(prompt.size() + i) - 1, completion[i], index,
                        weights.empty() ? 1.0 : weights[i]});
  weighted_ = weighted_ || !weights.empty();
  lengths_.push_back(static_cast<double>(completion.size()));
  return index;
}

Batch BatchBuilder::Build() {
  const at::Device device = model_.options().device();
  const auto type = model_.options().dtype() == at::kDouble ? at::kDouble : at::kFloat;
  Batch batch{forest_.Build(device), {}, {}, {}, {}, {}, {}};
  std::vector<int64_t> node, source, token, completion;
  std::vector<double> weight;
  for (const Target& target : targets_) {
    node.push_back(forest_.Node(target.sequence, target.column));
    token.push_back(target.token);
    completion.push_back(target.completion);
    weight.push_back(target.weight);
  }
  batch.sources = node;
  std::ranges::sort(batch.sources);
  batch.sources.erase(std::ranges::unique(batch.sources).begin(), batch.sources.end());
  for (int64_t n : node)
    source.push_back(std::ranges::lower_bound(batch.sources, n) - batch.sources.begin());
  const auto to_tensor = [&](const std::vector<int64_t>& values) {
    return model::ToDevice(values, device);
  };
  const auto to_real = [&](const std::vector<double>& values) {
    return model::ToDevice(at::tensor(values, at::TensorOptions(at::kDouble)).to(type), device);
  };
  batch.target_source = to_tensor(source);
  batch.target_token = to_tensor(token);
  batch.target_completion = to_tensor(completion);
  batch.completion_length = to_real(lengths_);
  if (weighted_) batch.target_weight = to_real(weight);
  return batch;
}

at::Tensor TargetLogProbs(const model::PhiModel& model, const Batch& batch, Normaliser normaliser,
                          at::Tensor* log_sum_squares) {
  const at::Tensor hidden = model.Hidden(batch.forest, batch.sources);  // [U, hidden]
  const bool squares = log_sum_squares != nullptr;
  at::Tensor log_normalisers;
  if (normaliser == Normaliser::kConstant) {
    const c10::NoGradGuard no_grad;
    log_normalisers = LogNormalisers(model, hidden, squares);
  } else {
    log_normalisers = LogNormalisers(model, hidden, squares);
  }
  if (squares) {
    *log_sum_squares = log_normalisers.detach().select(1, 1).index_select(0, batch.target_source);
    log_normalisers = log_normalisers.select(1, 0);
  }
  return model.LogitsOf(hidden.index_select(0, batch.target_source), batch.target_token) -
         log_normalisers.index_select(0, batch.target_source);
}

at::Tensor PerCompletion(const Batch& batch, const at::Tensor& values) {
  const at::Tensor weighted = batch.target_weight.defined() ? values * batch.target_weight : values;
  return at::zeros(batch.completion_length.sizes(), values.options())
      .index_add(0, batch.target_completion, weighted);
}

at::Tensor MeanPerToken(const Batch& batch, const at::Tensor& values) {
  return at::zeros(batch.completion_length.sizes(), values.options())
             .index_add(0, batch.target_completion, values) /
         batch.completion_length;
}

}  // namespace pivotal::dpo
