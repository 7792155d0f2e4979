// Apache-2.0.
#include "bench/merged_rollouts.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "kernels/philox.h"
#include "kernels/sample_row.h"
#include "model/attention.h"

namespace pivotal::bench {
namespace {

constexpr std::size_t kRows = 256;  // decoded together

// Rollouts of one request that are equal so far.
struct Path {
  std::size_t request = 0;
  std::vector<TokenId> tokens;  // the prefix and the sampled tokens
  int32_t count = 0;            // rollouts
  uint64_t stream = 0;          // of random numbers for the next token
  int64_t parent = 0;           // row of the previous level that the path continues
};

// Paths of equal length, with the keys and values of all their tokens and the logits of the next.
struct Level {
  std::vector<Path> paths;
  std::vector<at::Tensor> keys, values;  // one a layer: [paths, tokens, KV heads, D]
  at::Tensor logits;                     // [paths, V], CPU float32
};

class Sampler {
 public:
  Sampler(const model::PhiModel& model, const SamplingParams& sampling, uint64_t seed,
          std::span<const RolloutRequest> requests, const MergedSink& sink)
      : model_(model), sampling_(sampling), seed_(seed), requests_(requests), sink_(sink) {}

  int64_t Run() {
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      const RolloutRequest& request = requests_[i];
      Push({{i, request.prefix, request.count, request.stream, 0}}, nullptr);
    }
    while (!stack_.empty()) {
      const Level level = std::move(stack_.back());
      stack_.pop_back();
      const auto next = Split(level);
      for (std::size_t first = 0; first < next.size(); first += kRows) {
        const auto end =
            next.begin() + static_cast<std::ptrdiff_t>(std::min(next.size(), first + kRows));
        Push({next.begin() + static_cast<std::ptrdiff_t>(first), end}, &level);
      }
    }
    return decoded_;
  }

 private:
  // Computes the last token of each path, which continues `past`; without a past, all tokens of one
  // path.
  void Push(std::vector<Path> paths, const Level* past) {
    const auto rows = static_cast<int64_t>(paths.size());
    const auto length = static_cast<int64_t>(paths.front().tokens.size());
    const int64_t begin = past != nullptr ? length - 1 : 0;
    std::vector<int64_t> tokens, positions, parents;
    for (const Path& path : paths) {
      for (int64_t t = begin; t < length; ++t) {
        tokens.push_back(path.tokens[t]);
        positions.push_back(t);
      }
      parents.push_back(path.parent);
    }
    const auto device = model_.options().device();
    const auto on_device = [&](const std::vector<int64_t>& values) {
      return at::tensor(values, at::TensorOptions(at::kLong)).to(device);
    };
    const at::Tensor position = on_device(positions).view({rows, -1});
    const at::Tensor parent = on_device(parents);
    const at::Tensor mask = model::CausalMask(model_.config(), position, length);
    const auto appended = [&](const at::Tensor& kept, const at::Tensor& fresh) {
      return at::cat({kept.index_select(0, parent), fresh}, 1);
    };
    Level level;
    const at::Tensor hidden =
        model_.Hidden(on_device(tokens).view({rows, -1}),
                      model_.rope().Angles(position, std::vector<int64_t>(paths.size(), length)),
                      [&](int64_t layer, const at::Tensor& query, const at::Tensor& key,
                          const at::Tensor& value) {
                        level.keys.push_back(past ? appended(past->keys[layer], key) : key);
                        level.values.push_back(past ? appended(past->values[layer], value) : value);
                        return model::Attend(model_.config(), query, level.keys.back(),
                                             level.values.back(), mask);
                      });
    level.logits = model_.Logits(hidden.select(1, -1)).to(at::kCPU, at::kFloat).contiguous();
    level.paths = std::move(paths);
    stack_.push_back(std::move(level));
  }

  // Draws the next token of every rollout. Reports rollouts that end; returns the paths of the
  // rest.
  std::vector<Path> Split(const Level& level) {
    const auto vocab = static_cast<std::size_t>(model_.config().vocab_size);
    std::vector<float> weights(vocab);
    kernels::RowSampler sampler;
    std::vector<Path> next;
    for (std::size_t row = 0; row < level.paths.size(); ++row) {
      const Path& path = level.paths[row];
      const RolloutRequest& request = requests_[path.request];
      const bool first = path.tokens.size() == request.prefix.size();
      const std::span<const TokenId> excluded =
          first ? request.excluded : std::span<const TokenId>();
      std::copy_n(level.logits.const_data_ptr<float>() + row * vocab, vocab, weights.begin());
      sampler.Take(weights, sampling_, excluded);
      kernels::RandomStream random(seed_, path.stream);
      std::map<TokenId, int32_t> counts;
      for (int32_t i = 0; i < path.count; ++i) ++counts[sampler.Sample(random.Uniform()).token];
      for (const auto& [token, count] : counts) {
        Path child{path.request, path.tokens, count,
                   kernels::MixStream(path.stream, static_cast<uint64_t>(token)),
                   static_cast<int64_t>(row)};
        child.tokens.push_back(token);
        ++decoded_;
        if (Ends(child))
          sink_(child.request, Sampled(child), count);
        else
          next.push_back(std::move(child));
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
  const SamplingParams& sampling_;
  uint64_t seed_;
  std::span<const RolloutRequest> requests_;
  const MergedSink& sink_;
  int64_t decoded_ = 0;
  std::vector<Level> stack_;
};

}  // namespace

int64_t SampleMerged(const model::PhiModel& model, const SamplingParams& sampling, uint64_t seed,
                     std::span<const RolloutRequest> requests, const MergedSink& sink) {
  const c10::InferenceMode inference;
  return Sampler(model, sampling, seed, requests, sink).Run();
}

}  // namespace pivotal::bench
