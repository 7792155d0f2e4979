// Apache-2.0.
#include "model/packed_weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <numeric>
#include <span>

#include "model/tensor_transfer.h"

namespace pivotal::model {
namespace {

using kernels::PackedMatrix;

at::Tensor AsFloat(const at::Tensor& tensor) {
  return tensor.detach().to(at::kCPU, at::kFloat).contiguous();
}

std::vector<int64_t> Ascending(int64_t count) {
  std::vector<int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// Packs the weights of linear layers, stacked, into one matrix: output n is row order[n] of the
// stack.
class Packer {
 public:
  Packer(kernels::WeightType type, kernels::ThreadTeam& team) : type_(type), team_(team) {}

  PackedMatrix operator()(const std::vector<const Linear*>& layers,
                          std::vector<int64_t> order = {}) const {
    int64_t outputs = 0;
    for (const Linear* layer : layers) outputs += layer->weight.size(0);
    const int64_t inputs = layers.front()->weight.size(1);
    if (order.empty()) order = Ascending(outputs);
    PackedMatrix packed(outputs, inputs, type_);
    // Rows are converted to float32 a few at a time, to save memory.
    for (int64_t first = 0; first < outputs; first += kRows) {
      const int64_t count = std::min(kRows, outputs - first);
      const at::Tensor rows = Rows(layers, std::span(order).subspan(first, count));
      team_.Run([&](int rank) {
        const auto [begin, end] = kernels::PartOf(count, rank, team_.size(), kernels::kPanel);
        packed.SetRows(first + begin, end - begin, rows.const_data_ptr<float>() + begin * inputs);
      });
    }
    if (layers.front()->bias.defined()) {
      std::vector<float> all, bias;
      for (const Linear* layer : layers) {
        const at::Tensor values = AsFloat(layer->bias);
        all.insert(all.end(), values.const_data_ptr<float>(),
                   values.const_data_ptr<float>() + values.numel());
      }
      for (int64_t row : order) bias.push_back(all[static_cast<std::size_t>(row)]);
      packed.SetBias(bias.data());
    }
    for (const Linear* layer : layers) ReleaseMapped(layer->weight);
    return packed;
  }

 private:
  static constexpr int64_t kRows = 1024;

  // Returns rows order[0], order[1], ... of the stacked layers, updates added, as float32. Rows
  // that follow one another at equal steps in one layer are copied together.
  static at::Tensor Rows(const std::vector<const Linear*>& layers, std::span<const int64_t> order) {
    at::Tensor out =
        at::empty({static_cast<int64_t>(order.size()), layers.front()->weight.size(1)}, at::kFloat);
    for (std::size_t i = 0; i < order.size();) {
      int64_t row = order[i];
      std::size_t layer = 0;
      for (; row >= layers[layer]->weight.size(0); ++layer) row -= layers[layer]->weight.size(0);
      int64_t step = i + 1 < order.size() ? order[i + 1] - order[i] : 1, count = 1;
      while (i + count < order.size() && order[i + count] - order[i + count - 1] == step &&
             row + step * count < layers[layer]->weight.size(0))
        ++count;
      const auto to = static_cast<int64_t>(i);
      if (step < 1) step = count = 1;
      out.narrow(0, to, count)
          .copy_(layers[layer]->weight.detach().slice(0, row, row + step * (count - 1) + 1, step));
      const auto& [a, b, scale] = layers[layer]->update;
      if (a.defined())
        out.narrow(0, to, count)
            .add_(at::mm(AsFloat(b).slice(0, row, row + step * (count - 1) + 1, step), AsFloat(a)),
                  scale);
      i += static_cast<std::size_t>(count);
    }
    return out;
  }

  kernels::WeightType type_;
  kernels::ThreadTeam& team_;
};

PackedNorm PackNorm(const Norm& norm, const PhiConfig& config, bool centered) {
  PackedNorm packed;
  if (!norm.weight.defined()) return packed;
  const auto copy = [](const at::Tensor& tensor) {
    const at::Tensor values = AsFloat(tensor);
    auto out = kernels::AllocateFloats(static_cast<std::size_t>(values.numel()));
    std::copy_n(values.const_data_ptr<float>(), values.numel(), out.get());
    return out;
  };
  packed.weight = copy(norm.weight);
  if (norm.bias.defined()) packed.bias = copy(norm.bias);
  packed.task = {packed.weight.get(), packed.bias.get(), norm.weight.size(0),
                 static_cast<float>(config.norm_eps), centered};
  return packed;
}

// Returns the order that turns each KV head's queries, key and value into all queries, all keys,
// all values.
std::vector<int64_t> Ungrouped(const PhiConfig& config) {
  const int64_t group = config.num_attention_heads / config.num_key_value_heads,
                dim = config.head_dim;
  std::vector<int64_t> order;
  const auto add = [&](int64_t first, int64_t heads) {
    for (int64_t kv = 0; kv < config.num_key_value_heads; ++kv)
      for (int64_t i = 0; i < heads * dim; ++i)
        order.push_back((kv * (group + 2) + first) * dim + i);
  };
  add(0, group);
  add(group, 1);
  add(group + 1, 1);
  return order;
}

// Returns the order that turns alternating gate and linear outputs into all gates, then all linear
// ones.
std::vector<int64_t> Deinterleaved(int64_t outputs) {
  std::vector<int64_t> order;
  for (int64_t parity : {0, 1})
    for (int64_t i = parity; i < outputs; i += 2) order.push_back(i);
  return order;
}

PackedLayer PackLayer(const LayerWeights& layer, const PhiConfig& config, const Packer& pack,
                      kernels::ThreadTeam& team) {
  const bool centered = config.norm == PhiConfig::Norm::kLayer;
  PackedLayer packed;
  packed.input_norm = PackNorm(layer.input_norm, config, centered);
  packed.post_norm = PackNorm(layer.post_norm, config, centered);
  packed.query_norm = PackNorm(layer.query_norm, config, centered);
  packed.key_norm = PackNorm(layer.key_norm, config, centered);
  switch (config.qkv) {
    case PhiConfig::Qkv::kSeparate:
      packed.qkv = pack({&layer.query, &layer.key, &layer.value});
      break;
    case PhiConfig::Qkv::kGrouped: packed.qkv = pack({&layer.qkv}, Ungrouped(config)); break;
    case PhiConfig::Qkv::kFused: packed.qkv = pack({&layer.qkv}); break;
  }
  packed.output = pack({&layer.output});
  if (config.mlp == PhiConfig::Mlp::kExperts) {
    packed.router = Packer(kernels::WeightType::kFloat32, team)({&layer.router});
    for (const Expert& expert : layer.experts)
      packed.experts.push_back({pack({&expert.gate, &expert.up}), pack({&expert.down})});
  } else {
    const bool interleaved = config.mlp == PhiConfig::Mlp::kGegelu;
    packed.mlp = {pack({&layer.up}, interleaved ? Deinterleaved(layer.up.weight.size(0))
                                                : std::vector<int64_t>()),
                  pack({&layer.down})};
  }
  return packed;
}

}  // namespace

kernels::WeightType WeightTypeOf(at::ScalarType type) {
  switch (type) {
    case at::kBFloat16: return kernels::WeightType::kBfloat16;
    case at::kHalf: return kernels::WeightType::kFloat16;
    default: return kernels::WeightType::kFloat32;
  }
}

std::size_t PackedWeights::bytes() const {
  std::size_t bytes = head.bytes();
  for (const PackedLayer& layer : layers) {
    bytes += layer.qkv.bytes() + layer.output.bytes() + layer.mlp.up.bytes() +
             layer.mlp.down.bytes() + layer.router.bytes();
    for (const PackedMlp& expert : layer.experts) bytes += expert.up.bytes() + expert.down.bytes();
  }
  return bytes;
}

PackedWeights Pack(const Weights& weights, const PhiConfig& config, kernels::WeightType type,
                   kernels::ThreadTeam& team) {
  const Packer pack(type, team);
  PackedWeights packed;
  packed.embedding = weights.embedding.detach();
  for (const LayerWeights& layer : weights.layers)
    packed.layers.push_back(PackLayer(layer, config, pack, team));
  packed.final_norm = PackNorm(weights.final_norm, config, config.norm == PhiConfig::Norm::kLayer);
  packed.head = pack({&weights.head});
  return packed;
}

}  // namespace pivotal::model
