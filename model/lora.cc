// Apache-2.0.
#include "model/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/weights/safetensors.h"
#include "kernels/philox.h"
#include "model/tensor_transfer.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";

std::string TensorName(const std::string& layer, const char* matrix) {
  return "base_model.model." + layer + ".lora_" + matrix + ".weight";
}

// Returns whether `module` is the layer's whole name, or its end after a dot: PEFT's
// target_modules.
bool Matches(const std::string& layer, const std::string& module) {
  return layer == module || layer.ends_with("." + module);
}

std::string LastPart(const std::string& layer) { return layer.substr(layer.rfind('.') + 1); }

std::vector<LinearShape> ChosenLayers(const PhiConfig& config,
                                      const std::vector<std::string>& modules) {
  const auto all = LinearLayers(config);
  if (modules.empty()) return all;
  std::set<std::string> unused(modules.begin(), modules.end());
  std::vector<LinearShape> chosen;
  for (const LinearShape& layer : all) {
    bool match = false;
    for (const std::string& module : modules) {
      if (!Matches(layer.name, module)) continue;
      unused.erase(module);
      match = true;
    }
    if (match) chosen.push_back(layer);
  }
  if (!unused.empty()) {
    std::set<std::string> known;
    for (const LinearShape& layer : all) known.insert(LastPart(layer.name));
    Fail("LoRA module \"{}\" is no linear layer of this model; it has {}", *unused.begin(),
         fmt::join(known, ", "));
  }
  return chosen;
}

at::TensorOptions AdapterType(const PhiModel& model) {
  return model.options().dtype(model.options().dtype() == at::kDouble ? at::kDouble : at::kFloat);
}

at::Tensor Uniform(int64_t rows, int64_t columns, kernels::RandomStream random) {
  const at::Tensor tensor = at::empty({rows, columns}, at::TensorOptions(at::kFloat));
  const double bound = 1.0 / std::sqrt(static_cast<double>(columns));
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i)
    values[i] = static_cast<float>(bound * (2.0 * random.Uniform() - 1.0));
  return tensor;
}

// Throws Error for settings that Pivotal doesn't support. Each must be absent, null, false, empty
// or `plain`.
void RequirePlain(const Json& config, const std::string& where) {
  const auto refuse = [&](const char* key, const Json& plain = Json()) {
    const Json value = config.value(key, Json());
    if (value.is_null() || value == false || value == plain ||
        (value.is_structured() && value.empty()))
      return;
    Fail("{}: {} is {}, which is not supported", where, key, value.dump());
  };
  if (config.value("peft_type", Json()) != "LORA")
    Fail("{}: peft_type is {}; \"LORA\" is needed", where,
         config.value("peft_type", Json()).dump());
  refuse("bias", "none");
  for (const char* key :
       {"use_dora", "fan_in_fan_out", "modules_to_save", "rank_pattern", "alpha_pattern",
        "lora_bias", "trainable_token_indices", "target_parameters", "layer_replication"})
    refuse(key);
}

LoraOptions ReadOptions(const fs::path& folder) {
  const std::string where = (folder / kConfigFile).string();
  const Json config = data::ParseJsonObject(data::ReadFile(where), where);
  RequirePlain(config, where);
  LoraOptions options;
  options.rank = data::CheckedInteger(data::RequireKey(config, "r", where), 1, 1 << 20, "r", where);
  const Json& alpha = data::RequireKey(config, "lora_alpha", where);
  if (!alpha.is_number()) Fail("{}: lora_alpha must be a number", where);
  options.alpha = alpha.get<double>();
  options.rslora = config.value("use_rslora", Json()) == true;
  options.Validate();
  return options;
}

}  // namespace

}  // namespace pivotal::model

namespace pivotal {

void LoraOptions::Validate() const {
  if (rank < 0) Fail("LoRA rank must be 0 (none) or larger, got {}", rank);
  if (!(alpha > 0) || !std::isfinite(alpha)) Fail("LoRA alpha must be above 0, got {}", alpha);
}

double LoraOptions::Scale() const {
  const auto r = static_cast<double>(rank);
  return alpha / (rslora ? std::sqrt(r) : r);
}

}  // namespace pivotal

namespace pivotal::model {

std::shared_ptr<const Adapter> NewAdapter(const PhiModel& model, const LoraOptions& options,
                                          uint64_t seed) {
  options.Validate();
  if (options.rank == 0) Fail("LoRA rank must be at least 1 for an adapter");
  auto adapter = std::make_shared<Adapter>();
  adapter->options = options;
  for (const LinearShape& layer : ChosenLayers(model.config(), options.modules)) {
    const kernels::RandomStream random(seed, kernels::MixStream(0, layer.name));
    adapter->updates[layer.name] = {Uniform(options.rank, layer.in, random).to(AdapterType(model)),
                                    at::zeros({layer.out, options.rank}, AdapterType(model)),
                                    options.Scale()};
  }
  return adapter;
}

std::shared_ptr<const Adapter> LoadAdapter(const fs::path& folder, const PhiModel& model) {
  auto adapter = std::make_shared<Adapter>();
  adapter->options = ReadOptions(folder);
  const int64_t rank = adapter->options.rank;
  const fs::path file = folder / kWeightsFile;
  const auto reader = data::SafetensorsReader::OfFile(file);
  const auto take = [&](const std::string& name, const std::vector<int64_t>& shape) {
    const data::TensorView view = reader.Get(name);
    if (view.shape != shape)
      Fail("{}: tensor \"{}\" has shape [{}]; [{}] fits the model and its rank", file.string(),
           name, fmt::join(view.shape, ", "), fmt::join(shape, ", "));
    const at::TensorOptions type = AdapterType(model);
    return ToTensor(view, type.device(), c10::typeMetaToScalarType(type.dtype()));
  };
  std::set<std::string> modules;
  for (const LinearShape& layer : LinearLayers(model.config())) {
    const std::string a = TensorName(layer.name, "A"), b = TensorName(layer.name, "B");
    if (!reader.Contains(a)) continue;
    adapter->updates[layer.name] = {take(a, {rank, layer.in}), take(b, {layer.out, rank}),
                                    adapter->options.Scale()};
    modules.insert(LastPart(layer.name));
  }
  if (2 * adapter->updates.size() != reader.Names().size())
    Fail("{}: {} tensors, of which {} are low-rank updates of this model's decoder layers",
         file.string(), reader.Names().size(), 2 * adapter->updates.size());
  if (adapter->updates.empty()) Fail("{}: holds no tensors", file.string());
  adapter->options.modules.assign(modules.begin(), modules.end());
  return adapter;
}

void SaveAdapter(const Adapter& adapter, const fs::path& base, const fs::path& folder) {
  std::map<std::string, at::Tensor> tensors;
  std::set<std::string> modules(adapter.options.modules.begin(), adapter.options.modules.end());
  for (const auto& [layer, update] : adapter.updates) {
    tensors[TensorName(layer, "A")] = update.a;
    tensors[TensorName(layer, "B")] = update.b;
    if (adapter.options.modules.empty()) modules.insert(LastPart(layer));
  }
  const TensorViews views(tensors);
  data::WriteSafetensors(folder / kWeightsFile, views.get());
  const Json config = {{"peft_type", "LORA"},
                       {"task_type", "CAUSAL_LM"},
                       {"base_model_name_or_path", fs::absolute(base).lexically_normal().string()},
                       {"r", adapter.options.rank},
                       {"lora_alpha", adapter.options.alpha},
                       {"use_rslora", adapter.options.rslora},
                       {"target_modules", modules},
                       {"lora_dropout", 0.0},
                       {"bias", "none"},
                       {"fan_in_fan_out", false},
                       {"init_lora_weights", true},
                       {"modules_to_save", nullptr},
                       {"inference_mode", true}};
  data::WriteFile(folder / kConfigFile, config.dump(2) + "\n");
}

void MergeAdapter(PhiModel& model) {
  const auto adapter = model.adapter();
  if (adapter == nullptr) Fail("the model has no adapter to merge");
  const c10::NoGradGuard no_grad;
  for (const auto& [layer, update] : adapter->updates) {
    at::Tensor weight = model.parameters().at(layer + ".weight");
    weight.copy_(weight.to(update.a.scalar_type()) + update.scale * update.b.mm(update.a));
  }
  model.set_adapter(nullptr);
}

std::string AdapterFingerprint(const fs::path& folder) {
  const std::string config = data::ReadFile(folder / kConfigFile);
  return data::Sha256OfText(config + data::Sha256OfFile(folder / kWeightsFile));
}

}  // namespace pivotal::model
