// Apache-2.0.
#include "model/checkpoint.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <system_error>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/names.h"
#include "data/weights/safetensors.h"
#include "kernels/philox.h"
#include "model/config_file.h"
#include "model/tensor_transfer.h"
#include "model/weight_gate.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;

void CheckTokenizerFits(const Tokenizer& tokenizer, const PhiConfig& config,
                        const fs::path& folder) {
  if (tokenizer.VocabSize() > config.vocab_size)
    Fail(
        "{}: the tokenizer has {} ids, but config.json has vocab_size {}; take both from the same "
        "download",
        folder.string(), tokenizer.VocabSize(), config.vocab_size);
}

// Adds the tokenizer's end token and ends of turns. config.json often names only the end of a text,
// so that an answer in a conversation would run on.
void AddStopTokens(const Tokenizer& tokenizer, std::vector<int64_t>& stops) {
  const auto add = [&](TokenId id) {
    if (id >= 0 && std::ranges::find(stops, id) == stops.end()) stops.push_back(id);
  };
  add(tokenizer.eos());
  for (const char* end : {"<|end|>", "<|im_end|>", "<|eot_id|>"}) {
    const auto ids = tokenizer.Encode(end);
    if (ids.size() == 1) add(ids[0]);
  }
}

// Lists the small files that a loader may read, except config.json and the index of shards.
std::vector<fs::path> SideFiles(const fs::path& origin) {
  static constexpr std::string_view kExtensions[] = {".json", ".model", ".tiktoken",
                                                     ".txt",  ".jinja", ".py"};
  std::vector<fs::path> files;
  for (const fs::path& path : data::PathsIn(origin)) {
    const std::string name = path.filename().string();
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored) && name != "config.json" &&
        !name.ends_with(".index.json") &&
        std::ranges::find(kExtensions, path.extension().string()) != std::end(kExtensions))
      files.push_back(path);
  }
  return files;
}

void CopySideFiles(const fs::path& origin, const fs::path& folder) {
  std::error_code error;
  if (fs::equivalent(origin, folder, error)) return;
  for (const fs::path& path : SideFiles(origin)) data::CopyFile(path, folder / path.filename());
}

// The names of types in config.json and in --dtype.
constexpr auto kDTypes = data::MakeNameTable<at::ScalarType>(
    "type", {{at::kFloat, "float32"}, {at::kBFloat16, "bfloat16"}, {at::kHalf, "float16"}});

at::Tensor NormalTensor(at::IntArrayRef shape, double stddev, kernels::RandomStream& random) {
  const at::Tensor tensor = at::empty(shape, at::TensorOptions(at::kFloat));
  float* values = tensor.data_ptr<float>();
  // The Box-Muller transform gives two values; the second is not used.
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - random.Uniform()));
    const double angle = 2.0 * std::numbers::pi * random.Uniform();
    values[i] = static_cast<float>(stddev * radius * std::cos(angle));
  }
  return tensor;
}

// Prepares this process for computing on `gpu`, and returns it. On Hopper LibTorch gives attention
// of 16 bits with a mask to cuDNN, which plans anew for every shape, for up to a second
// (modelscope/ FunASR issue 3704). Shapes differ from step to step here, so that training spent its
// time planning.
at::Device Prepare(at::Device gpu) {
  at::globalContext().setSDPUseCuDNN(false);
  return gpu;
}

}  // namespace

at::Device ParseDevice(const std::string& name) {
  const bool has_cuda = at::hasCUDA();
  if (name == "auto") return has_cuda ? Prepare(at::Device(at::kCUDA, 0)) : at::Device(at::kCPU);
  try {
    const at::Device device(name);
    if (device.is_cpu()) return device;
    if (device.is_cuda()) {
      if (!has_cuda) Fail("--device {}: no CUDA device is usable here; use --device cpu", name);
      return Prepare(device.has_index() ? device : at::Device(at::kCUDA, 0));
    }
  } catch (const c10::Error&) {  // not the name of a device; reported below
  }
  Fail("--device {}: expected auto, cpu, cuda or cuda:N", name);
}

at::ScalarType ParseDType(const std::string& name) {
  if (const auto type = kDTypes.Find(name)) return *type;
  Fail("--dtype {}: expected float32, bfloat16 or float16", name);
}

Checkpoint LoadCheckpoint(const fs::path& folder, at::Device device, at::ScalarType dtype,
                          WeightUse use, BaseWeights base, const ChooseWeights& choose) {
  PhiConfig config = LoadPhiConfig(folder);
  Checkpoint checkpoint{folder, nullptr, LoadTokenizer(folder)};
  CheckTokenizerFits(*checkpoint.tokenizer, config, folder);
  if (!config.eos_is_complete) AddStopTokens(*checkpoint.tokenizer, config.eos_token_ids);
  const auto reader = std::make_shared<const data::SafetensorsReader>(folder);
  if (HasOwnHead(*reader, config)) {
    spdlog::warn(
        "{}: config.json says tie_word_embeddings, but the weights have an lm_head.weight of their "
        "own, which is used, as transformers does",
        folder.string());
    config.tie_word_embeddings = false;
  }
  auto [parameters, quantised] =
      use == WeightUse::kShapes ? ReadWeightMaps{Shapes(config, dtype), {}}
                                : ReadWeights(reader, config, device, dtype, use, base, choose);
  checkpoint.model = std::make_unique<PhiModel>(
      config, std::move(parameters), reader->Files().front().string(), std::move(quantised));
  return checkpoint;
}

std::unique_ptr<PhiModel> RandomModel(const PhiConfig& config, uint64_t seed) {
  config.Validate("model");
  ParameterMap parameters;
  CollectWeights(config,
                 [&](const std::string& name, const std::vector<int64_t>& shape, Init init) {
                   kernels::RandomStream random(seed, kernels::MixStream(0, name));
                   at::Tensor& tensor = parameters[name];
                   switch (init) {
                     case Init::kNormal:
                       tensor = NormalTensor(shape, config.initializer_range, random);
                       break;
                     case Init::kOne:
                       tensor = at::ones(shape, at::TensorOptions(at::kFloat));
                       break;
                     case Init::kZero:
                       tensor = at::zeros(shape, at::TensorOptions(at::kFloat));
                       break;
                   }
                   return tensor;
                 });
  return std::make_unique<PhiModel>(config, std::move(parameters), "random weights");
}

void SaveTensors(const ParameterMap& tensors, const fs::path& folder, int64_t max_shard_bytes,
                 const FetchTensor& fetch) {
  TensorViews views(tensors, fetch);
  data::WriteSafetensorsFolder(folder, views.get(), max_shard_bytes,
                               [&](const std::string& name) { return views.Read(name); });
}

ParameterMap LoadTensors(const fs::path& folder) {
  const auto reader = std::make_shared<const data::SafetensorsReader>(folder);
  ParameterMap tensors;
  for (const std::string& name : reader->Names()) tensors.emplace(name, MapTensor(reader, name));
  return tensors;
}

void LoadWeights(const fs::path& folder, PhiModel& model) {
  const c10::NoGradGuard no_grad;
  const data::SafetensorsReader reader(folder);
  for (const auto& [name, weight] : model.parameters()) {
    if (!HasMemory(weight)) continue;
    reader.RequireFinite(name);
    const at::Tensor read = ToTensor(reader.Get(name), at::kCPU, weight.scalar_type());
    if (read.sizes() != weight.sizes())
      Fail("{}: {} is not of the model's shape", folder.string(), name);
    at::Tensor(weight).copy_(read);
    reader.Release(name);
  }
}

void SaveWeights(const PhiModel& model, const fs::path& folder, int64_t max_shard_bytes,
                 const FetchTensor& fetch) {
  if (!model.quantised().empty())
    Fail("{}: weights in 4 or 8 bits are not written; save the adapter, or load whole weights",
         folder.string());
  SaveTensors(model.parameters(), folder, max_shard_bytes, fetch);
}

void SaveCheckpoint(const PhiModel& model, const fs::path& origin, const fs::path& folder,
                    int64_t max_shard_bytes, const FetchTensor& fetch) {
  CopySideFiles(origin, folder);
  const auto dtype = c10::typeMetaToScalarType(model.options().dtype());
  CopyPhiConfig(model.config(), origin, std::string(kDTypes.Name(dtype)), folder);
  SaveWeights(model, folder, max_shard_bytes, fetch);
}

int64_t SavedBytes(const PhiModel& model, const fs::path& origin) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : model.parameters())
    bytes += static_cast<int64_t>(tensor.nbytes());
  for (const fs::path& path : SideFiles(origin))
    bytes += static_cast<int64_t>(data::FileSize(path));
  return bytes;
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
