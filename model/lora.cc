// Apache-2.0.
#include "model/lora.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/hub_cache.h"
#include "data/base/json_input.h"
#include "data/base/text.h"
#include "data/weights/safetensors.h"
#include "kernels/philox.h"
#include "model/tensor_transfer.h"
#include "model/weight_files.h"

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

// What a key of adapter_config.json (all fields of PEFT's LoraConfig) means to a reader.
enum class KeyUse {
  kRead,
  kHarmless,  // says how the adapter was trained, or where it applies, which its tensors say too
  kPlain      // changes the result, unless it is absent, null, false, empty or "none"
};
struct KeyRule {
  std::string_view key;
  KeyUse use;
};
constexpr KeyRule kKeys[] = {{"peft_type", KeyUse::kRead},
                             {"r", KeyUse::kRead},
                             {"lora_alpha", KeyUse::kRead},
                             {"use_rslora", KeyUse::kRead},
                             {"init_lora_weights", KeyUse::kRead},
                             {"auto_mapping", KeyUse::kHarmless},
                             {"base_model_name_or_path", KeyUse::kHarmless},
                             {"corda_config", KeyUse::kHarmless},
                             {"ensure_weight_tying", KeyUse::kHarmless},
                             {"eva_config", KeyUse::kHarmless},
                             {"exclude_modules", KeyUse::kHarmless},
                             {"inference_mode", KeyUse::kHarmless},
                             {"layers_pattern", KeyUse::kHarmless},
                             {"layers_to_transform", KeyUse::kHarmless},
                             {"loftq_config", KeyUse::kHarmless},
                             {"lora_dropout", KeyUse::kHarmless},
                             {"lora_ga_config", KeyUse::kHarmless},
                             {"megatron_core", KeyUse::kHarmless},
                             {"peft_version", KeyUse::kHarmless},
                             {"qalora_group_size", KeyUse::kHarmless},
                             {"revision", KeyUse::kHarmless},
                             {"runtime_config", KeyUse::kHarmless},
                             {"target_modules", KeyUse::kHarmless},
                             {"task_type", KeyUse::kHarmless},
                             {"velora_config", KeyUse::kHarmless},
                             {"alora_invocation_tokens", KeyUse::kPlain},
                             {"alpha_pattern", KeyUse::kPlain},
                             {"arrow_config", KeyUse::kPlain},
                             {"bias", KeyUse::kPlain},
                             {"fan_in_fan_out", KeyUse::kPlain},
                             {"kasa_config", KeyUse::kPlain},
                             {"layer_replication", KeyUse::kPlain},
                             {"lora_bias", KeyUse::kPlain},
                             {"megatron_config", KeyUse::kPlain},
                             {"modules_to_save", KeyUse::kPlain},
                             {"monteclora_config", KeyUse::kPlain},
                             {"rank_pattern", KeyUse::kPlain},
                             {"target_parameters", KeyUse::kPlain},
                             {"trainable_token_indices", KeyUse::kPlain},
                             {"use_bdlora", KeyUse::kPlain},
                             {"use_dora", KeyUse::kPlain},
                             {"use_qalora", KeyUse::kPlain}};

// Initialisations that leave the model's own weights as they are. The others (PiSSA, OLoRA, CorDA,
// LoftQ, LoRA-GA) take a part of each weight into the adapter, or round the rest: the adapter fits
// only weights that no file has.
constexpr std::string_view kPlainInits[] = {"gaussian", "eva", "orthogonal", "mica"};

void CheckInit(const Json& config, const std::string& where) {
  const Json init = config.value("init_lora_weights", Json());
  if (init.is_null() || init.is_boolean()) return;
  if (init.is_string()) {
    std::string name = init.get<std::string>();
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (std::ranges::find(kPlainInits, name) != std::end(kPlainInits)) return;
  }
  Fail(
      "{}: init_lora_weights is {}, which changed the model's own weights before the training; "
      "save the adapter with PEFT's save_pretrained(..., "
      "path_initial_model_for_weight_conversion=...), which makes it a plain one, or merge it with "
      "merge_and_unload() and take the merged model",
      where, init.dump());
}

// Throws Error for a key that changes the result in a way that Pivotal does not compute, and for a
// key of a later PEFT.
void CheckKeys(const Json& config, const std::string& where) {
  if (const Json type = config.value("peft_type", Json()); type != "LORA")
    Fail("{}: peft_type is {}; \"LORA\" is needed", where, type.dump());
  for (const auto& [key, value] : config.items()) {
    const auto* rule = std::ranges::find(kKeys, key, &KeyRule::key);
    const bool known = rule != std::end(kKeys);
    if ((known && rule->use != KeyUse::kPlain) || value.is_null() || value == false ||
        value == "none" || (value.is_structured() && value.empty()))
      continue;
    Fail(
        "{}: {} is {}, which {}; merge the adapter with PEFT's merge_and_unload() and take the "
        "merged model",
        where, key, value.dump().substr(0, 80),
        known ? "Pivotal does not compute" : "Pivotal does not know");
  }
  CheckInit(config, where);
}

LoraOptions ReadOptions(const fs::path& folder) {
  const std::string where = (folder / kConfigFile).string();
  const Json config = data::ParseJsonObject(data::ReadFile(where), where);
  CheckKeys(config, where);
  LoraOptions options;
  options.rank = data::CheckedInteger(data::RequireKey(config, "r", where), 1, 1 << 20, "r", where);
  const Json& alpha = data::RequireKey(config, "lora_alpha", where);
  if (!alpha.is_number()) Fail("{}: lora_alpha must be a number", where);
  options.alpha = alpha.get<double>();
  options.rslora = data::OptionalBool(config, "use_rslora", false, where);
  options.Validate();
  return options;
}

// The tensors of an adapter's file. Takes those of one layer at a time.
class AdapterReader {
 public:
  AdapterReader(const fs::path& file, int64_t rank, const at::TensorOptions& type)
      : file_(file.string()),
        reader_(data::SafetensorsReader::OfFile(file)),
        rank_(rank),
        type_(type) {
    for (const std::string& name : reader_.Names()) {
      // PEFT's own state_dict has the adapter's name in each key; save_pretrained drops it.
      std::string plain = name;
      data::ReplaceAll(plain, ".default.weight", ".weight");
      left_[plain] = name;
    }
  }

  bool Has(const std::string& layer) const { return left_.contains(TensorName(layer, "A")); }

  LowRank Take(const std::string& layer, int64_t out, int64_t in) {
    LowRank update;
    update.a = TakeMatrix(layer, "A", {rank_, in});
    update.b = TakeMatrix(layer, "B", {out, rank_});
    return update;
  }
  LowRank TakeOrZero(const std::string& layer, int64_t out, int64_t in) {
    if (Has(layer)) return Take(layer, out, in);
    LowRank update;
    update.a = at::zeros({rank_, in}, type_);
    update.b = at::zeros({out, rank_}, type_);
    return update;
  }

  void RequireAllTaken(const PhiConfig& config) const {
    if (left_.empty()) return;
    std::set<std::string> known;
    for (const LinearShape& layer : LinearLayers(config)) known.insert(LastPart(layer.name));
    Fail(
        "{}: tensor \"{}\" is no low-rank update of a linear layer of this model; its layers are "
        "{}, and a tensor is called e.g. \"{}\": take the adapter's own model",
        file_, left_.begin()->second, fmt::join(known, ", "),
        TensorName(LinearLayers(config).front().name, "A"));
  }

 private:
  at::Tensor TakeMatrix(const std::string& layer, const char* matrix,
                        const std::vector<int64_t>& shape) {
    const auto node = left_.extract(TensorName(layer, matrix));
    const std::string& name = node ? node.mapped() : TensorName(layer, matrix);
    const data::TensorView view = reader_.Get(name);
    if (view.shape != shape)
      Fail("{}: tensor \"{}\" has shape [{}]; [{}] fits the model and its rank", file_, name,
           fmt::join(view.shape, ", "), fmt::join(shape, ", "));
    reader_.RequireFinite(name);
    return ToTensor(view, type_.device(), c10::typeMetaToScalarType(type_.dtype()));
  }

  std::string file_;
  data::SafetensorsReader reader_;
  int64_t rank_;
  at::TensorOptions type_;
  std::map<std::string, std::string> left_;  // names as save_pretrained writes them -> in the file
};

// Returns one update of `rank` that does what the updates of successive rows of a layer do: their A
// one below the other, their B along a diagonal, and zeros.
LowRank Join(const std::vector<LowRank>& parts, int64_t rank) {
  int64_t rows = 0;
  for (const LowRank& part : parts) rows += part.b.size(0);
  LowRank joined;
  joined.a = at::zeros({rank, parts.front().a.size(1)}, parts.front().a.options());
  joined.b = at::zeros({rows, rank}, parts.front().b.options());
  int64_t row = 0, column = 0;
  for (const LowRank& part : parts) {
    const int64_t height = part.b.size(0), width = part.b.size(1);
    joined.a.narrow(0, column, width).copy_(part.a);
    joined.b.narrow(0, row, height).narrow(1, column, width).copy_(part.b);
    row += height;
    column += width;
  }
  return joined;
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
  AdapterReader reader(folder / kWeightsFile, adapter->options.rank, AdapterType(model));
  std::map<std::string, std::vector<LowRank>> pieces;  // by layer; several side by side
  std::size_t most = 1;
  for (const LinearShape& layer : LinearLayers(model.config())) {
    if (reader.Has(layer.name)) {
      pieces[layer.name] = {reader.Take(layer.name, layer.out, layer.in)};
      continue;
    }
    const auto parts = PartsOf(layer.name, model.config());
    if (std::ranges::none_of(parts, [&](const WeightPart& p) { return reader.Has(p.name); }))
      continue;
    for (const WeightPart& part : parts)
      pieces[layer.name].push_back(reader.TakeOrZero(part.name, part.rows, layer.in));
    most = std::max(most, parts.size());
  }
  reader.RequireAllTaken(model.config());
  if (pieces.empty()) Fail("{}: holds no tensors", (folder / kWeightsFile).string());
  const double scale = adapter->options.Scale();
  adapter->options.rank *= static_cast<int64_t>(most);  // the scale stays as it is
  adapter->options.alpha *=
      adapter->options.rslora ? std::sqrt(static_cast<double>(most)) : static_cast<double>(most);
  std::set<std::string> modules;
  for (const auto& [layer, parts] : pieces) {
    adapter->updates[layer] = Join(parts, adapter->options.rank);
    adapter->updates[layer].scale = scale;
    modules.insert(LastPart(layer));
  }
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
  TensorViews views(tensors);
  data::WriteSafetensors(folder / kWeightsFile, views.get(),
                         [&](const std::string& name) { return views.Read(name); });
  // PEFT finds a model of the Hub by its name, on any machine.
  const data::HubName on_hub = data::HubNameOf(data::HubKind::kModel, base);
  const std::string base_name =
      on_hub.id.empty() ? data::Absolute(base).lexically_normal().string() : on_hub.id;
  Json config = {{"peft_type", "LORA"},
                 {"task_type", "CAUSAL_LM"},
                 {"base_model_name_or_path", base_name},
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
  if (!on_hub.revision.empty()) config["revision"] = on_hub.revision;
  // A path may be no UTF-8, which JSON has no place for.
  data::WriteFile(folder / kConfigFile,
                  config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void MergeAdapter(PhiModel& model) {
  const auto adapter = model.adapter();
  if (adapter == nullptr) Fail("the model has no adapter to merge");
  if (!model.quantised().empty())
    Fail("an adapter is not merged into weights in 4 or 8 bits; load whole weights");
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
