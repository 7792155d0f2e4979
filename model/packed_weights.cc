// Apache-2.0.
#include "model/packed_weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <utility>

#include "model/quantised_matrix.h"
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

// The weights of linear layers, stacked: row n is row order[n] of the stack.
class Stack {
 public:
  Stack(const std::vector<const Linear*>& layers, std::vector<int64_t> order)
      : layers_(layers), order_(std::move(order)) {
    int64_t rows = 0;
    for (const Linear* layer : layers) rows += layer->out();
    if (order_.empty()) order_ = Ascending(rows);
  }

  int64_t outputs() const { return std::ssize(order_); }
  int64_t inputs() const { return layers_.front()->in(); }
  bool has_updates() const {
    return std::ranges::any_of(layers_, [](const Linear* l) { return l->update.a.defined(); });
  }

  // A row of the stack: its layer's index, and its row there.
  struct Place {
    std::size_t layer;
    int64_t row;
  };
  Place At(int64_t n) const {
    Place place = {0, order_[static_cast<std::size_t>(n)]};
    for (; place.row >= layers_[place.layer]->out(); ++place.layer)
      place.row -= layers_[place.layer]->out();
    return place;
  }

  // Returns rows first, first + 1, ... of `weights`, which has one [out, in] for each layer, with
  // updates added, as float32. Rows that follow one another at equal steps in one layer are copied
  // together.
  at::Tensor Rows(const std::vector<at::Tensor>& weights, int64_t first, int64_t count) const {
    const auto order = std::span(order_).subspan(first, count);
    at::Tensor out = at::empty({count, inputs()}, at::kFloat);
    for (std::size_t i = 0; i < order.size();) {
      const auto [layer, row] = At(first + static_cast<int64_t>(i));
      const int64_t rows = layers_[layer]->out();
      int64_t step = i + 1 < order.size() ? order[i + 1] - order[i] : 1, run = 1;
      while (i + run < order.size() && order[i + run] - order[i + run - 1] == step &&
             row + step * run < rows)
        ++run;
      const auto to = static_cast<int64_t>(i);
      if (step < 1) step = run = 1;
      const auto part = [&, row = row](const at::Tensor& t) {
        return t.slice(0, row, row + step * (run - 1) + 1, step);
      };
      out.narrow(0, to, run).copy_(part(weights[layer]));
      const auto& [a, b, scale] = layers_[layer]->update;
      if (a.defined()) out.narrow(0, to, run).add_(at::mm(part(AsFloat(b)), AsFloat(a)), scale);
      i += static_cast<std::size_t>(run);
    }
    return out;
  }

  // Returns the bias [outputs]; none if there is none.
  std::vector<float> Bias() const {
    std::vector<float> all, bias;
    if (!layers_.front()->bias.defined()) return bias;
    for (const Linear* layer : layers_) {
      const at::Tensor values = AsFloat(layer->bias);
      all.insert(all.end(), values.const_data_ptr<float>(),
                 values.const_data_ptr<float>() + values.numel());
    }
    for (int64_t row : order_) bias.push_back(all[static_cast<std::size_t>(row)]);
    return bias;
  }

  // Returns one update that does what those of the layers do: their a one below the other, and in b
  // the rows of each at the columns of its a.
  LowRank Update() const {
    int64_t rank = 0;
    std::vector<int64_t> columns;  // where those of a layer begin
    for (const Linear* layer : layers_) {
      columns.push_back(rank);
      if (layer->update.a.defined()) rank += layer->update.a.size(0);
    }
    LowRank joined{at::zeros({rank, inputs()}, at::kFloat),
                   at::zeros({outputs(), rank}, at::kFloat), 1};
    std::vector<at::Tensor> factors(layers_.size());
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const auto& [a, b, scale] = layers_[i]->update;
      if (!a.defined()) continue;
      joined.a.narrow(0, columns[i], a.size(0)).copy_(AsFloat(a));
      factors[i] = AsFloat(b).mul(scale);
    }
    for (int64_t n = 0; n < outputs(); ++n) {
      const auto [layer, row] = At(n);
      if (!factors[layer].defined()) continue;
      joined.b[n].narrow(0, columns[layer], factors[layer].size(1)).copy_(factors[layer][row]);
    }
    return joined;
  }

  const std::vector<const Linear*>& layers() const { return layers_; }

 private:
  const std::vector<const Linear*>& layers_;
  std::vector<int64_t> order_;
};

PackedMatrix PackFloats(const at::Tensor& matrix) {
  PackedMatrix packed(matrix.size(0), matrix.size(1), kernels::WeightType::kFloat32);
  packed.SetRows(0, matrix.size(0), matrix.const_data_ptr<float>());
  return packed;
}

// Packs the weights of linear layers, stacked, into one matrix: output n is row order[n] of the
// stack.
class Packer {
 public:
  Packer(kernels::WeightType type, kernels::ThreadTeam& team) : type_(type), team_(team) {}

  PackedLinear operator()(const std::vector<const Linear*>& layers,
                          std::vector<int64_t> order = {}) const {
    const Stack stack(layers, std::move(order));
    PackedLinear packed;
    packed.matrix = type_ == kernels::WeightType::kNf4 ? PackNf4(stack) : PackRows(stack, type_);
    if (type_ == kernels::WeightType::kNf4 && stack.has_updates()) {
      const LowRank update = stack.Update();
      packed.update_a = PackFloats(update.a);
      packed.update_b = PackFloats(update.b);
    }
    if (const auto bias = stack.Bias(); !bias.empty()) packed.matrix.SetBias(bias.data());
    for (const Linear* layer : layers) ReleaseMapped(layer->weight);
    return packed;
  }

 private:
  static constexpr int64_t kRows = 1024;

  PackedMatrix PackRows(const Stack& stack, kernels::WeightType type) const {
    std::vector<at::Tensor> weights;
    for (const Linear* layer : stack.layers()) weights.push_back(layer->Whole(at::kFloat));
    PackedMatrix packed(stack.outputs(), stack.inputs(), type);
    // Rows are converted to float32 a few at a time, to save memory.
    for (int64_t first = 0; first < stack.outputs(); first += kRows) {
      const int64_t count = std::min(kRows, stack.outputs() - first);
      const at::Tensor rows = stack.Rows(weights, first, count);
      team_.Run([&](int rank) {
        const auto [begin, end] = kernels::PartOf(count, rank, team_.size(), kernels::kPanel);
        packed.SetRows(first + begin, end - begin,
                       rows.const_data_ptr<float>() + begin * stack.inputs());
      });
    }
    return packed;
  }

  // Updates stay beside the matrix.
  PackedMatrix PackNf4(const Stack& stack) const {
    std::vector<std::shared_ptr<const QuantisedMatrix>> matrices;
    for (const Linear* layer : stack.layers()) {
      const bool is_nf4 = layer->quantised && layer->quantised->format() == BaseWeights::kNf4;
      matrices.push_back(is_nf4 ? layer->quantised : quantise_(layer->Whole(at::kFloat)));
    }
    if (stack.inputs() % kernels::kNf4Block != 0) return PackNumbers(stack, matrices);
    std::vector<kernels::Nf4Codes> codes;
    for (const auto& matrix : matrices) codes.push_back(matrix->Nf4());
    PackedMatrix packed(stack.outputs(), stack.inputs(), kernels::WeightType::kNf4);
    team_.Run([&](int rank) {
      const auto [first, last] = kernels::PartOf(packed.panels(), rank, team_.size());
      for (int64_t panel = first; panel < last; ++panel) {
        kernels::Nf4Row rows[kernels::kPanel];
        const int64_t begin = panel * kernels::kPanel;
        const int64_t count = std::min(kernels::kPanel, stack.outputs() - begin);
        for (int64_t i = 0; i < count; ++i) {
          const auto [layer, row] = stack.At(begin + i);
          rows[i] = {&codes[layer], row};
        }
        packed.SetNf4Panel(panel, {rows, static_cast<std::size_t>(count)});
      }
    });
    return packed;
  }

  // Packs the numbers of the matrices in float32.
  PackedMatrix PackNumbers(
      const Stack& stack,
      const std::vector<std::shared_ptr<const QuantisedMatrix>>& matrices) const {
    std::vector<Linear> plain(matrices.size());
    std::vector<const Linear*> layers;
    std::vector<int64_t> order;
    std::vector<int64_t> begins;  // of each layer in the stack
    int64_t rows = 0;
    for (std::size_t i = 0; i < matrices.size(); ++i) {
      plain[i].weight = matrices[i]->Numbers(at::kFloat);
      layers.push_back(&plain[i]);
      begins.push_back(rows);
      rows += matrices[i]->rows();
    }
    for (int64_t n = 0; n < stack.outputs(); ++n) {
      const auto [layer, row] = stack.At(n);
      order.push_back(begins[layer] + row);
    }
    return PackRows(Stack(layers, std::move(order)), kernels::WeightType::kFloat32);
  }

  kernels::WeightType type_;
  kernels::ThreadTeam& team_;
  Quantiser quantise_{BaseWeights::kNf4, at::kCPU};
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
    packed.mlp = {
        pack({&layer.up}, interleaved ? Deinterleaved(layer.up.out()) : std::vector<int64_t>()),
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

int64_t PackedWeights::update_width() const {
  int64_t most = 0;
  const auto see = [&](const PackedLinear& linear) {
    if (linear.update_a.outputs() > 0) most = std::max(most, linear.update_a.padded_outputs());
  };
  for (const PackedLayer& layer : layers) {
    for (const PackedLinear* linear : {&layer.qkv, &layer.output, &layer.mlp.up, &layer.mlp.down})
      see(*linear);
    for (const PackedMlp& expert : layer.experts) {
      see(expert.up);
      see(expert.down);
    }
  }
  return most;
}

PackedWeights Pack(const Weights& weights, const PhiConfig& config, kernels::WeightType type,
                   kernels::ThreadTeam& team) {
  const Packer pack(type, team);
  PackedWeights packed;
  packed.embedding = weights.embedding.detach();
  for (const LayerWeights& layer : weights.layers)
    packed.layers.push_back(PackLayer(layer, config, pack, team));
  packed.final_norm = PackNorm(weights.final_norm, config, config.norm == PhiConfig::Norm::kLayer);
  packed.head = type == kernels::WeightType::kNf4
                    ? Packer(WeightTypeOf(weights.head.weight.scalar_type()), team)({&weights.head})
                    : pack({&weights.head});
  return packed;
}

}  // namespace pivotal::model
