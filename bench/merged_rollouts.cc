// Apache-2.0.
#include "bench/merged_rollouts.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::bench {
namespace {

constexpr std::size_t kRows = 256;  // decoded together

// Rollouts of one request that are equal so far.
struct Path {
  std::size_t request = 0;
  std::vector<TokenId> tokens;  // prefix and what was sampled
  int32_t count = 0;
  uint64_t stream = 0;          // of what is drawn next
  int64_t from = 0;             // row of the level before that it continues
};

// Paths with the keys and values of all their tokens and the logits of what comes next.
struct Level {
  std::vector<Path> paths;
  std::unique_ptr<model::KvCache> cache;
  at::Tensor logits;  // [paths, V], CPU float32
};

class Sampler {
 public:
  Sampler(const model::PhiModel& model, const kernels::SamplingParams& sampling, uint64_t seed,
          std::span<const model::RolloutRequest> requests, const MergedSink& sink)
      : model_(model), sampling_(sampling), seed_(seed), requests_(requests), sink_(sink) {
    for (const model::RolloutRequest& request : requests)
      capacity_ = std::max(capacity_,
                           static_cast<int64_t>(request.prefix.size()) + request.max_new_tokens);
  }

  int64_t Run() {
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      const model::RolloutRequest& request = requests_[i];
      Push({{i, request.prefix, request.count, request.stream, 0}}, nullptr);
    }
    while (!stack_.empty()) {
      const Level level = std::move(stack_.back());
      stack_.pop_back();
      const auto next = Split(level);
      for (std::size_t first = 0; first < next.size(); first += kRows) {
        const auto end = next.begin() + static_cast<std::ptrdiff_t>(std::min(next.size(), first + kRows));
        Push({next.begin() + static_cast<std::ptrdiff_t>(first), end}, level.cache.get());
      }
    }
    return decoded_;
  }

 private:
  // Runs what `past` does not hold through the model: the last token of each path; without a past,
  // all tokens of one path.
  void Push(std::vector<Path> paths, const model::KvCache* past) {
    Level level;
    const auto rows = static_cast<int64_t>(paths.size());
    level.cache = std::make_unique<model::KvCache>(model_.config(), rows, capacity_, model_.options());
    std::vector<int64_t> tokens, positions, lengths;
    for (int64_t row = 0; row < rows; ++row) {
      const Path& path = paths[row];
      const auto size = static_cast<int64_t>(path.tokens.size());
      const int64_t begin = past != nullptr ? size - 1 : 0;
      if (past != nullptr) level.cache->CopySlot(*past, path.from, row, 1, begin);
      for (int64_t t = begin; t < size; ++t) {
        tokens.push_back(path.tokens[t]);
        positions.push_back(t);
      }
      lengths.push_back(size);
    }
    const auto matrix = [&](const std::vector<int64_t>& values) {
      return at::tensor(values, at::TensorOptions(at::kLong)).reshape({rows, -1})
          .to(model_.options().device());
    };
    const at::Tensor hidden = model_.Hidden(matrix(tokens), matrix(positions), lengths, *level.cache);
    level.logits = model_.Logits(hidden.select(1, -1)).to(at::kCPU, at::kFloat).contiguous();
    level.paths = std::move(paths);
    stack_.push_back(std::move(level));
  }

  // Draws the next token of every rollout; reports those that end, returns the others' paths.
  std::vector<Path> Split(const Level& level) {
    const auto vocab = static_cast<std::size_t>(model_.config().vocab_size);
    std::vector<float> workspace(vocab);
    std::vector<Path> next;
    for (std::size_t row = 0; row < level.paths.size(); ++row) {
      const Path& path = level.paths[row];
      const model::RolloutRequest& request = requests_[path.request];
      const bool first = path.tokens.size() == request.prefix.size();
      const std::span<const TokenId> excluded = first ? request.excluded : std::span<const TokenId>();
      const std::span<const float> logits(level.logits.const_data_ptr<float>() + row * vocab, vocab);
      kernels::RandomStream random(seed_, path.stream);
      std::map<TokenId, int32_t> counts;
      for (int32_t i = 0; i < path.count; ++i)
        ++counts[kernels::SampleRow(logits, sampling_, random.Uniform(), workspace, excluded).token];
      for (const auto& [token, count] : counts) {
        Path child{path.request, path.tokens, count,
                   kernels::MixStream(path.stream, static_cast<uint64_t>(token)),
                   static_cast<int64_t>(row)};
        child.tokens.push_back(token);
        ++decoded_;
        if (Ends(child)) sink_(child.request, Sampled(child), count);
        else next.push_back(std::move(child));
      }
    }
    return next;
  }

  std::span<const TokenId> Sampled(const Path& path) const {
    return std::span(path.tokens).subspan(requests_[path.request].prefix.size());
  }
  bool Ends(const Path& path) const {
    const auto& stops = model_.config().eos_token_ids;
    return std::ranges::find(stops, path.tokens.back()) != stops.end() ||
           std::ssize(Sampled(path)) >= requests_[path.request].max_new_tokens;
  }

  const model::PhiModel& model_;
  const kernels::SamplingParams& sampling_;
  uint64_t seed_;
  std::span<const model::RolloutRequest> requests_;
  const MergedSink& sink_;
  int64_t capacity_ = 0, decoded_ = 0;
  std::vector<Level> stack_;
};

}  // namespace

int64_t SampleMerged(const model::PhiModel& model, const kernels::SamplingParams& sampling,
                     uint64_t seed, std::span<const model::RolloutRequest> requests,
                     const MergedSink& sink) {
  const c10::InferenceMode inference;
  return Sampler(model, sampling, seed, requests, sink).Run();
}

}  // namespace pivotal::bench
