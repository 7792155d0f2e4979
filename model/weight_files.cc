// Apache-2.0.
#include "model/weight_files.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <set>
#include <utility>

#include "data/base/error.h"
#include "model/tensor_transfer.h"
#include "model/weight_gate.h"
#include "model/weights.h"

namespace pivotal::model {
namespace {

using data::SafetensorsReader;

constexpr std::string_view kHead = "lm_head.weight", kEmbedding = "model.embed_tokens.weight";

// Returns whether a tensor follows from the config or from other weights. Some exporters write
// these.
bool IsDerived(std::string_view name, const PhiConfig& config) {
  return name.ends_with("rotary_emb.inv_freq") || (config.tie_word_embeddings && name == kHead);
}

bool IsVision(std::string_view name, const PhiConfig& config) {
  return config.architecture == Architecture::kPhi3V &&
         name.starts_with("model.vision_embed_tokens.");
}

// Returns whether reading a tensor in the file gives the values that a copy in `dtype` would have.
bool StaysInFile(const data::TensorView& view, at::ScalarType dtype) {
  const bool aligned =
      reinterpret_cast<std::uintptr_t>(view.bytes.data()) % data::ByteSize(view.dtype) == 0;
  return aligned && (dtype == at::kFloat || dtype == ToScalarType(view.dtype));
}

// Handles the tensors that are no weights of the model.
void CheckOthers(const SafetensorsReader& reader, const PhiConfig& config,
                 const std::set<std::string>& used) {
  int64_t vision = 0;
  std::vector<std::string> unreadable;
  for (const std::string& name : reader.Names()) {
    if (used.contains(name) || IsDerived(name, config)) continue;
    if (IsVision(name, config)) {
      ++vision;
    } else if (!reader.IsReadable(name)) {
      unreadable.push_back(name);
    } else {
      Fail(
          "{}: tensor \"{}\" has no place in the model that config.json describes; take both from "
          "the same download",
          reader.FileOf(name).string(), name);
    }
  }
  const std::string folder = reader.Files().front().parent_path().string();
  if (vision > 0)
    spdlog::warn("{}: {} tensors of the vision part are skipped; prompts are text only", folder,
                 vision);
  if (!unreadable.empty())
    spdlog::warn("{}: {} tensors that the model does not use are skipped, e.g. \"{}\" of type {}",
                 folder, unreadable.size(), unreadable.front(), reader.TypeOf(unreadable.front()));
}

class Loader {
 public:
  Loader(std::shared_ptr<const SafetensorsReader> reader, at::Device device, at::ScalarType dtype,
         WeightUse use)
      : reader_(std::move(reader)), device_(device), dtype_(dtype), use_(use) {}

  at::Tensor Load(const std::string& name) const {
    const data::TensorView view = reader_->Get(name);
    reader_->RequireFinite(name);
    if (use_ == WeightUse::kRollouts && device_.is_cpu() && StaysInFile(view, dtype_)) {
      reader_->Release(name);
      return MapTensor(reader_, name);
    }
    const at::Tensor tensor = ToTensor(view, device_, dtype_);
    reader_->Release(name);
    if (dtype_ == at::kHalf && view.dtype != data::DType::kF16 &&
        !at::isfinite(tensor).all().item<bool>())
      Fail("{}: tensor \"{}\" holds numbers beyond the range of float16; take --dtype bfloat16",
           reader_->FileOf(name).string(), name);
    return tensor;
  }

  // Returns the tensor in the file's type, on the CPU.
  at::Tensor LoadStored(const std::string& name) const {
    const data::TensorView view = reader_->Get(name);
    const at::ScalarType stored = ToScalarType(view.dtype);
    const Loader as_stored(reader_, at::kCPU, stored, WeightUse::kRollouts);
    if (dtype_ == at::kHalf) Load(name);  // refuses what float16 does not hold
    return as_stored.Load(name);
  }

  // Stacks the rows of several tensors, which `load` loads.
  at::Tensor Stack(const std::vector<WeightPart>& parts, int64_t columns,
                   at::Tensor (Loader::*load)(const std::string&) const) const {
    std::vector<at::Tensor> tensors;
    for (const WeightPart& part : parts) {
      const std::vector<int64_t> expected = {part.rows, columns};
      if (!reader_->Contains(part.name))
        Fail("{}: tensor \"{}\" is missing; the file does not fit config.json",
             reader_->Files().front().string(), part.name);
      if (const auto shape = reader_->Get(part.name).shape; shape != expected)
        Fail("{}: tensor \"{}\" has shape [{}], config.json implies [{}]",
             reader_->FileOf(part.name).string(), part.name, fmt::join(shape, ", "),
             fmt::join(expected, ", "));
      tensors.push_back((this->*load)(part.name));
    }
    const at::Tensor stacked = at::cat(tensors);
    for (const at::Tensor& tensor : tensors) ReleaseMapped(tensor);
    return stacked;
  }

 private:
  std::shared_ptr<const SafetensorsReader> reader_;
  at::Device device_;
  at::ScalarType dtype_;
  WeightUse use_;
};

}  // namespace

std::vector<WeightPart> PartsOf(std::string_view layer, const PhiConfig& config) {
  std::vector<WeightPart> parts;
  const auto split = [&](std::string_view whole, bool has,
                         std::initializer_list<std::pair<std::string_view, int64_t>> names) {
    const auto at = layer.find(whole);
    if (!has || at == std::string_view::npos) return;
    for (const auto& [name, rows] : names)
      parts.push_back(
          {fmt::format("{}{}{}", layer.substr(0, at), name, layer.substr(at + whole.size())),
           rows});
  };
  const int64_t keys = config.num_key_value_heads * config.head_dim;
  split("self_attn.qkv_proj", config.qkv == PhiConfig::Qkv::kFused,
        {{"self_attn.q_proj", config.num_attention_heads * config.head_dim},
         {"self_attn.k_proj", keys},
         {"self_attn.v_proj", keys}});
  split("mlp.gate_up_proj", config.mlp == PhiConfig::Mlp::kSwiGlu,
        {{"mlp.gate_proj", config.intermediate_size}, {"mlp.up_proj", config.intermediate_size}});
  return parts;
}

bool HasOwnHead(const SafetensorsReader& reader, const PhiConfig& config) {
  if (!config.tie_word_embeddings || !reader.Contains(kHead) || !reader.Contains(kEmbedding))
    return false;
  const data::TensorView head = reader.Get(kHead), embedding = reader.Get(kEmbedding);
  const bool same =
      head.dtype == embedding.dtype && std::ranges::equal(head.bytes, embedding.bytes);
  for (std::string_view name : {kHead, kEmbedding}) reader.Release(name);
  if (same) return false;
  if (config.architecture == Architecture::kPhi3Small)
    Fail("{}: tensor \"{}\" is another matrix than the embedding, which Phi-3-small shares",
         reader.FileOf(kHead).string(), kHead);
  return true;
}

std::map<std::string, at::Tensor> Shapes(const PhiConfig& config, at::ScalarType dtype) {
  std::map<std::string, at::Tensor> weights;
  CollectWeights(config, [&](const std::string& name, const std::vector<int64_t>& shape, Init) {
    return weights[name] = at::empty(shape, at::TensorOptions(at::kMeta).dtype(dtype));
  });
  return weights;
}

ReadWeightMaps ReadWeights(const std::shared_ptr<const SafetensorsReader>& reader,
                           const PhiConfig& config, at::Device device, at::ScalarType dtype,
                           WeightUse use, BaseWeights base, const ChooseWeights& choose) {
  std::set<std::string> used;
  const auto parts_of = [&](const std::string& name) {
    return config.architecture == Architecture::kLlama ? PartsOf(name, config)
                                                       : std::vector<WeightPart>();
  };
  CollectWeights(config, [&](const std::string& name, const std::vector<int64_t>&, Init) {
    const auto parts = parts_of(name);
    for (const WeightPart& part : parts) used.insert(part.name);
    if (parts.empty()) used.insert(name);
    return at::Tensor();
  });
  CheckOthers(*reader, config, used);
  const Loader loader(reader, device, dtype, use);
  std::set<std::string> to_quantise;
  std::optional<Quantiser> quantise;
  if (base != BaseWeights::kPlain) {
    quantise.emplace(base, device);
    for (const LinearShape& layer : LinearLayers(config))
      if (layer.CanBeQuantised()) to_quantise.insert(layer.name + ".weight");
  }
  std::optional<std::set<std::string>> chosen;
  if (choose) chosen = choose(Shapes(config, dtype));
  ReadWeightMaps weights;
  CollectWeights(config, [&](const std::string& name, const std::vector<int64_t>& shape, Init) {
    const auto parts = parts_of(name);
    if (parts.empty() && !reader->Contains(name)) return at::Tensor();  // PhiModel reports it
    if (chosen && !chosen->contains(name)) {
      const at::Tensor empty = at::empty(shape, at::TensorOptions(device).dtype(dtype));
      FreeMemoryOf(empty);
      weights.plain.emplace(name, empty);
    } else if (to_quantise.contains(name)) {
      const at::Tensor stored = parts.empty() ? loader.LoadStored(name)
                                              : loader.Stack(parts, shape[1], &Loader::LoadStored);
      weights.quantised.emplace(name, (*quantise)(stored));
      ReleaseMapped(stored);
    } else {
      weights.plain.emplace(
          name, parts.empty() ? loader.Load(name) : loader.Stack(parts, shape[1], &Loader::Load));
    }
    return at::Tensor();
  });
  return weights;
}

}  // namespace pivotal::model
