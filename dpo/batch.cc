// Apache-2.0.
#include "dpo/batch.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>

namespace pivotal::dpo {

int64_t BatchBuilder::AddSequence(std::span<const TokenId> prompt, std::span<const TokenId> rest) {
  std::vector<TokenId>& sequence = sequences_.emplace_back(prompt.begin(), prompt.end());
  sequence.insert(sequence.end(), rest.begin(), rest.end());
  return static_cast<int64_t>(sequences_.size()) - 1;
}

int64_t BatchBuilder::AddCompletion(std::span<const TokenId> prompt,
                                    std::span<const TokenId> completion) {
  // The last token is predicted, never read.
  const int64_t row = AddSequence(prompt, completion.first(completion.size() - 1));
  auto column = static_cast<int64_t>(prompt.size()) - 1;
  for (TokenId token : completion) targets_.push_back({row, column++, token, segments_});
  return segments_++;
}

int64_t BatchBuilder::AddPair(std::span<const TokenId> prompt, std::span<const TokenId> first,
                              std::span<const TokenId> second) {
  if (first.size() == 1 && second.size() == 1) {
    const int64_t row = AddSequence(prompt, {});
    const auto column = static_cast<int64_t>(prompt.size()) - 1;
    targets_.push_back({row, column, first[0], segments_});
    targets_.push_back({row, column, second[0], segments_ + 1});
    segments_ += 2;
    return segments_ - 2;
  }
  const int64_t segment = AddCompletion(prompt, first);
  AddCompletion(prompt, second);
  return segment;
}

Batch BatchBuilder::Build(at::Device device) const {
  std::size_t longest = 0;
  std::vector<int64_t> lengths;
  for (const auto& sequence : sequences_) {
    longest = std::max(longest, sequence.size());
    lengths.push_back(static_cast<int64_t>(sequence.size()) + 1);  // the last token is only predicted
  }
  const auto width = static_cast<int64_t>(longest);
  at::Tensor tokens = at::zeros({static_cast<int64_t>(sequences_.size()), width}, at::kLong);
  for (std::size_t row = 0; row < sequences_.size(); ++row) {
    std::copy(sequences_[row].begin(), sequences_[row].end(),
              tokens.data_ptr<int64_t>() + static_cast<int64_t>(row) * width);
  }
  std::map<int64_t, int64_t> source_of;  // flat position -> index into source
  std::vector<int64_t> source, target_source, target_token, target_segment;
  for (const Target& target : targets_) {
    const int64_t flat = target.row * width + target.column;
    const auto [it, fresh] = source_of.try_emplace(flat, static_cast<int64_t>(source.size()));
    if (fresh) source.push_back(flat);
    target_source.push_back(it->second);
    target_token.push_back(target.token);
    target_segment.push_back(target.segment);
  }
  const auto to_tensor = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::TensorOptions(at::kLong)).to(device);
  };
  return {tokens.to(device),        std::move(lengths),       to_tensor(source),
          to_tensor(target_source), to_tensor(target_token), to_tensor(target_segment), segments_};
}

namespace {

// Of targets `token` [M] at rows `source` [M] of `hidden` [U, hidden].
at::Tensor LogProbsAt(const model::PhiModel& model, const at::Tensor& hidden,
                      const at::Tensor& source, const at::Tensor& token) {
  at::Tensor logits = model.Logits(hidden);  // [U, V]
  if (logits.scalar_type() == at::kHalf || logits.scalar_type() == at::kBFloat16)
    logits = logits.to(at::kFloat);
  const at::Tensor normaliser = at::logsumexp(logits, -1);  // [U]
  return logits.flatten().index_select(0, source * logits.size(1) + token) -
         normaliser.index_select(0, source);
}

}  // namespace

at::Tensor TargetLogProbs(const model::PhiModel& model, const Batch& batch) {
  constexpr int64_t kRows = 256;
  const at::Tensor hidden =
      model.Hidden(batch.tokens, batch.lengths).flatten(0, 1).index_select(0, batch.source);
  const int64_t rows = hidden.size(0);
  if (c10::GradMode::is_enabled() || rows <= kRows)
    return LogProbsAt(model, hidden, batch.target_source, batch.target_token);
  at::Tensor all = at::empty(batch.target_token.sizes(), hidden.options().dtype(at::kFloat));
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t count = std::min(kRows, rows - first);
    const at::Tensor targets =
        (batch.target_source.ge(first) & batch.target_source.lt(first + count)).nonzero().squeeze(1);
    all.index_copy_(0, targets,
                    LogProbsAt(model, hidden.narrow(0, first, count),
                               batch.target_source.index_select(0, targets) - first,
                               batch.target_token.index_select(0, targets)).to(at::kFloat));
  }
  return all;
}

at::Tensor SegmentLogProbs(const model::PhiModel& model, const Batch& batch) {
  const at::Tensor logprobs = TargetLogProbs(model, batch);
  return at::zeros({batch.segments}, logprobs.options())
      .index_add(0, batch.target_segment, logprobs);
}

}  // namespace pivotal::dpo
