// Apache-2.0.
#include "model/checkpoint.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>

#include <cmath>
#include <numbers>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/safetensors.h"
#include "kernels/philox.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;

at::ScalarType ToScalarType(data::DType type) {
  switch (type) {
    case data::DType::kF16: return at::kHalf;
    case data::DType::kBF16: return at::kBFloat16;
    case data::DType::kF32: break;
  }
  return at::kFloat;
}

// A copy on `device` in `dtype`; the mapped file can go afterwards.
at::Tensor ToTensor(const data::TensorView& view, at::Device device, at::ScalarType dtype) {
  // from_blob wants a mutable pointer; the tensor is only read.
  const at::Tensor mapped = at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape,
                                          at::TensorOptions(ToScalarType(view.dtype)));
  return mapped.to(at::TensorOptions(device).dtype(dtype), /*non_blocking=*/false, /*copy=*/true);
}

// Names that some exporters write although they follow from the config.
bool IsDerived(const std::string& name) { return name.ends_with("rotary_emb.inv_freq"); }

void CheckTokenizerFits(const data::Tokenizer& tokenizer, const PhiConfig& config,
                        const fs::path& folder) {
  if (tokenizer.VocabSize() > config.vocab_size)
    Fail("{}: the tokenizer has {} ids, but config.json has vocab_size {}; take both from the same "
         "download", folder.string(), tokenizer.VocabSize(), config.vocab_size);
}

at::Tensor NormalTensor(at::IntArrayRef shape, double stddev, kernels::RandomStream& random) {
  const at::Tensor tensor = at::empty(shape, at::TensorOptions(at::kFloat));
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {  // Box-Muller, one of the two values
    const double radius = std::sqrt(-2.0 * std::log(1.0 - random.Uniform()));
    const double angle = 2.0 * std::numbers::pi * random.Uniform();
    values[i] = static_cast<float>(stddev * radius * std::cos(angle));
  }
  return tensor;
}

}  // namespace

at::Device ParseDevice(const std::string& name) {
  const bool has_cuda = at::hasCUDA();
  if (name == "auto") return has_cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  try {
    const at::Device device(name);
    if (device.is_cpu()) return device;
    if (device.is_cuda()) {
      if (!has_cuda) Fail("--device {}: no CUDA device is usable here; use --device cpu", name);
      return device.has_index() ? device : at::Device(at::kCUDA, 0);
    }
  } catch (const c10::Error&) {  // not a device name: reported below
  }
  Fail("--device {}: expected auto, cpu, cuda or cuda:N", name);
}

at::ScalarType ParseDType(const std::string& name) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  Fail("--dtype {}: expected float32, bfloat16 or float16", name);
}

Checkpoint LoadCheckpoint(const fs::path& folder, at::Device device, at::ScalarType dtype) {
  const PhiConfig config = LoadPhiConfig(folder);
  Checkpoint checkpoint{folder, nullptr, data::LoadTokenizer(folder)};
  CheckTokenizerFits(*checkpoint.tokenizer, config, folder);
  const data::SafetensorsReader reader(folder);
  ParameterMap parameters;
  for (const std::string& name : reader.Names()) {
    if (IsDerived(name) || (config.tie_word_embeddings && name == "lm_head.weight")) continue;
    parameters.emplace(name, ToTensor(reader.Get(name), device, dtype));
  }
  checkpoint.model =
      std::make_unique<PhiModel>(config, std::move(parameters), reader.Files().front().string());
  return checkpoint;
}

std::unique_ptr<PhiModel> RandomModel(const PhiConfig& config, uint64_t seed) {
  config.Validate("model");
  const int64_t hidden = config.hidden_size, mlp = config.intermediate_size;
  const int64_t qkv =
      (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim();
  ParameterMap parameters;
  const auto normal = [&](const std::string& name, at::IntArrayRef shape) {
    kernels::RandomStream random(seed, kernels::MixStream(0, name));
    parameters[name] = NormalTensor(shape, config.initializer_range, random);
  };
  const auto one = [&](const std::string& name) {
    parameters[name] = at::ones({hidden}, at::TensorOptions(at::kFloat));
  };
  normal("model.embed_tokens.weight", {config.vocab_size, hidden});
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    one(prefix + "input_layernorm.weight");
    normal(prefix + "self_attn.qkv_proj.weight", {qkv, hidden});
    normal(prefix + "self_attn.o_proj.weight", {hidden, hidden});
    one(prefix + "post_attention_layernorm.weight");
    normal(prefix + "mlp.gate_up_proj.weight", {2 * mlp, hidden});
    normal(prefix + "mlp.down_proj.weight", {hidden, mlp});
  }
  one("model.norm.weight");
  if (!config.tie_word_embeddings) normal("lm_head.weight", {config.vocab_size, hidden});
  return std::make_unique<PhiModel>(config, std::move(parameters), "random weights");
}

void SaveCheckpoint(const PhiModel& model, const fs::path& origin, const fs::path& folder) {
  static constexpr const char* kCopied[] = {
      "tokenizer.model",         "tokenizer.json",    "tokenizer_config.json", "added_tokens.json",
      "special_tokens_map.json", "chat_template.jinja", "generation_config.json"};
  for (const char* name : kCopied) {
    std::error_code error;
    if (!fs::exists(origin / name) || fs::equivalent(origin, folder, error)) continue;
    fs::copy_file(origin / name, folder / name, fs::copy_options::overwrite_existing, error);
    if (error) Fail("{}: cannot be written: {}", (folder / name).string(), error.message());
  }
  std::map<std::string, at::Tensor> on_cpu;  // keeps the bytes alive
  std::map<std::string, data::TensorView> views;
  for (const auto& [name, parameter] : model.parameters()) {
    const at::Tensor& tensor = on_cpu[name] = parameter.detach().to(at::kCPU).contiguous();
    const data::DType type = tensor.scalar_type() == at::kBFloat16 ? data::DType::kBF16
                             : tensor.scalar_type() == at::kHalf   ? data::DType::kF16
                                                                   : data::DType::kF32;
    views[name] = {type, tensor.sizes().vec(),
                   {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
  }
  SavePhiConfig(model.config(), folder);
  data::WriteSafetensors(folder / "model.safetensors", views);
}

std::string WeightsFingerprint(const fs::path& folder) {
  const data::SafetensorsReader reader(folder);
  if (reader.Files().size() == 1) return data::Sha256OfFile(reader.Files().front());
  std::string joined;
  for (const fs::path& file : reader.Files())
    joined += file.filename().string() + " " + data::Sha256OfFile(file) + "\n";
  return data::Sha256OfText(joined);
}

}  // namespace pivotal::model
