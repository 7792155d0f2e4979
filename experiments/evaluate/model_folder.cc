// Apache-2.0.
#include "experiments/evaluate/model_folder.h"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <nlohmann/json.hpp>

#include "data/base/disk_room.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"
#include "data/weights/safetensors.h"
#include "experiments/evaluate/model_card.h"
#include "experiments/settings/loading.h"
#include "model/checkpoint.h"
#include "model/config_file.h"
#include "model/memory.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// Writes a count for people: "3.82 billion".
std::string CountText(int64_t value) {
  const auto number = static_cast<double>(value);
  if (value >= 1'000'000'000) return fmt::format("{:.2f} billion", number / 1e9);
  if (value >= 1'000'000) return fmt::format("{:.2f} million", number / 1e6);
  return fmt::format("{}", value);
}

std::string ShapeText(const model::PhiConfig& c, const model::Footprint& f) {
  std::string text;
  const auto add = [&]<typename... T>(fmt::format_string<T...> format, T&&... values) {
    fmt::format_to(std::back_inserter(text), format, std::forward<T>(values)...);
  };
  add("architecture     {}\n", model::ArchitectureName(c.architecture));
  add("parameters       {} ({})", f.parameters, CountText(f.parameters));
  if (c.num_experts > 0) add(", {} active per token", CountText(f.active_parameters));
  add("\nlayers           {}, hidden {}, MLP {}", c.num_hidden_layers, c.hidden_size,
      c.intermediate_size);
  if (c.num_experts > 0) add(", {} experts", c.num_experts);
  add("\nattention        {} heads of {}, {} for keys and values", c.num_attention_heads,
      c.head_dim, c.num_key_value_heads);
  if (c.sliding_window > 0) add(", window {}", c.sliding_window);
  if (c.block_sparse.block > 0) add(", block-sparse");
  add("\npositions        {}", c.max_position_embeddings);
  if (c.rope.original_length > 0) add(", LongRoPE beyond {}", c.rope.original_length);
  add("\nvocabulary       {}{}\n", c.vocab_size,
      c.tie_word_embeddings ? ", output tied to the embedding" : "");
  return text;
}

bool HasWeights(const fs::path& folder) {
  return data::Exists(folder / "model.safetensors") ||
         data::Exists(folder / "model.safetensors.index.json");
}

// Adds what is said of the weights, and reads them once to see that they are numbers.
void DescribeWeights(const data::SafetensorsReader& reader, ModelDescription& description) {
  const auto names = reader.Names();
  for (const std::string& name : names) {
    description.weight_bytes += static_cast<int64_t>(reader.SizeOf(name));
    if (!reader.IsReadable(name)) continue;
    reader.RequireFinite(name);
    reader.Release(name);
  }
  description.weight_files = std::ssize(reader.Files());
  description.weight_type = names.empty() ? "empty" : reader.TypeOf(names[0]);
}

}  // namespace

ModelDescription DescribeModel(const fs::path& folder, int64_t lora_rank) {
  ModelDescription description;
  description.config = model::LoadPhiConfig(folder);
  description.lora_rank = lora_rank;
  if (HasWeights(folder)) {
    const data::SafetensorsReader reader(folder);
    if (model::HasOwnHead(reader, description.config))
      description.config.tie_word_embeddings = false;
    DescribeWeights(reader, description);
  }
  description.memory = {model::FootprintOf(description.config, 4, lora_rank),
                        model::FootprintOf(description.config, 2, lora_rank)};
  return description;
}

std::string DescriptionText(const ModelDescription& d) {
  std::string text = ShapeText(d.config, d.memory[0]);
  text += d.weight_files == 0 ? "weights          none in this folder\n"
                              : fmt::format("weights          {} in {} file{}, {}\n",
                                            model::BytesText(d.weight_bytes), d.weight_files,
                                            d.weight_files == 1 ? "" : "s", d.weight_type);
  text += fmt::format("\n{:<32} {:>14} {:>22}\n", "memory, without activations", "float32",
                      "bfloat16, float16");
  const auto row = [&](const std::string& name, int64_t model::Footprint::*field) {
    text += fmt::format("{:<32} {:>14} {:>22}\n", name, model::BytesText(d.memory[0].*field),
                        model::BytesText(d.memory[1].*field));
  };
  row("inference: weights", &model::Footprint::weights);
  row("  linear layers in 4 bits (nf4)", &model::Footprint::nf4_weights);
  row("  keys and values, each token", &model::Footprint::kv_per_token);
  row("full fine-tuning, AdamW", &model::Footprint::full_fine_tuning);
  row(fmt::format("LoRA of rank {} on all layers", d.lora_rank),
      &model::Footprint::lora_fine_tuning);
  row("  on weights in 4 bits (nf4)", &model::Footprint::nf4_lora_fine_tuning);
  return text;
}

std::string DescriptionJson(const ModelDescription& d) {
  const auto memory = [](const model::Footprint& f) {
    return ordered_json{{"weights", f.weights},
                        {"nf4_weights", f.nf4_weights},
                        {"kv_per_token", f.kv_per_token},
                        {"full_fine_tuning", f.full_fine_tuning},
                        {"lora_fine_tuning", f.lora_fine_tuning},
                        {"nf4_lora_fine_tuning", f.nf4_lora_fine_tuning}};
  };
  const model::PhiConfig& c = d.config;
  ordered_json object = {{"architecture", model::ArchitectureName(c.architecture)},
                         {"parameters", d.memory[0].parameters},
                         {"active_parameters", d.memory[0].active_parameters},
                         {"layers", c.num_hidden_layers},
                         {"hidden", c.hidden_size},
                         {"mlp", c.intermediate_size},
                         {"experts", c.num_experts},
                         {"heads", c.num_attention_heads},
                         {"kv_heads", c.num_key_value_heads},
                         {"head_dim", c.head_dim},
                         {"window", c.sliding_window},
                         {"positions", c.max_position_embeddings},
                         {"vocabulary", c.vocab_size},
                         {"tied_embedding", c.tie_word_embeddings},
                         {"weight_bytes", d.weight_bytes},
                         {"weight_files", d.weight_files},
                         {"weight_type", d.weight_type},
                         {"lora_rank", d.lora_rank},
                         {"memory_float32", memory(d.memory[0])},
                         {"memory_16bit", memory(d.memory[1])}};
  return data::JsonLine(object);
}

void SaveMergedModel(const ModelSettings& settings, const fs::path& output,
                     int64_t max_shard_bytes) {
  const LoadedModel merged = LoadModel(settings);
  constexpr int64_t kSmallFiles = 1 << 20;  // headers of weight files, config.json, the model card
  data::RequireRoom(output, model::SavedBytes(merged.phi(), settings.folder) + kSmallFiles);
  data::OutputFolder folder(output);
  data::WriteFile(
      output / "README.md",
      CardHeadText({.base = settings.folder}) +
          fmt::format("\n# {}\nThis model is {} with the LoRA adapter {} added to its "
                      "weights, by Pivotal.\n",
                      MarkdownCode(BareName(output)), MarkdownCode(ModelName(settings.folder)),
                      MarkdownCode(ModelName(settings.adapter))));
  model::SaveCheckpoint(merged.phi(), settings.folder, output, max_shard_bytes);
  folder.Keep();
}

}  // namespace pivotal::experiments
