// Apache-2.0. pivotal info
#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <memory>

#include "cli/flags.h"
#include "data/safetensors.h"
#include "model/config_file.h"
#include "model/footprint.h"

namespace pivotal::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  fs::path folder;
  int64_t lora_rank = 16;
};

// "3.82 billion"
std::string Count(int64_t value) {
  const auto number = static_cast<double>(value);
  if (value >= 1'000'000'000) return fmt::format("{:.2f} billion", number / 1e9);
  if (value >= 1'000'000) return fmt::format("{:.2f} million", number / 1e6);
  return fmt::format("{}", value);
}

void PrintShape(const model::PhiConfig& c, const model::Footprint& f) {
  fmt::print("architecture     {}\n", model::ArchitectureName(c.architecture));
  fmt::print("parameters       {} ({})", f.parameters, Count(f.parameters));
  if (c.num_experts > 0) fmt::print(", {} active per token", Count(f.active_parameters));
  fmt::print("\nlayers           {}, hidden {}, MLP {}", c.num_hidden_layers, c.hidden_size,
             c.intermediate_size);
  if (c.num_experts > 0) fmt::print(", {} experts", c.num_experts);
  fmt::print("\nattention        {} heads of {}, {} for keys and values", c.num_attention_heads,
             c.head_dim, c.num_key_value_heads);
  if (c.sliding_window > 0) fmt::print(", window {}", c.sliding_window);
  if (c.block_sparse.block > 0) fmt::print(", block-sparse");
  fmt::print("\npositions        {}", c.max_position_embeddings);
  if (c.rope.original_length > 0) fmt::print(", LongRoPE beyond {}", c.rope.original_length);
  fmt::print("\nvocabulary       {}{}\n", c.vocab_size,
             c.tie_word_embeddings ? ", output tied to the embedding" : "");
}

void PrintFiles(const fs::path& folder) {
  if (!fs::exists(folder / "model.safetensors") &&
      !fs::exists(folder / "model.safetensors.index.json")) {
    fmt::print("weights          none in this folder\n");
    return;
  }
  const data::SafetensorsReader reader(folder);
  int64_t bytes = 0;
  for (const std::string& name : reader.Names())
    bytes += static_cast<int64_t>(reader.Get(name).bytes.size());
  fmt::print("weights          {} in {} file{}, {}\n", model::BytesText(bytes), reader.Files().size(),
             reader.Files().size() == 1 ? "" : "s",
             reader.Names().empty() ? "empty" : data::DTypeName(reader.Get(reader.Names()[0]).dtype));
}

void Run(const Flags& flags) {
  const model::PhiConfig config = model::LoadPhiConfig(flags.folder);
  const std::array needs = {model::FootprintOf(config, 4, flags.lora_rank),
                            model::FootprintOf(config, 2, flags.lora_rank)};
  PrintShape(config, needs[0]);
  PrintFiles(flags.folder);
  const auto row = [&](const std::string& name, int64_t model::Footprint::*field) {
    fmt::print("{:<32} {:>14} {:>22}\n", name, model::BytesText(needs[0].*field), model::BytesText(needs[1].*field));
  };
  fmt::print("\n{:<32} {:>14} {:>22}\n", "memory, without activations", "float32", "bfloat16, float16");
  row("inference: weights", &model::Footprint::weights);
  row("  keys and values, each token", &model::Footprint::kv_per_token);
  row("full fine-tuning, AdamW", &model::Footprint::full_fine_tuning);
  row(fmt::format("LoRA of rank {} on all layers", flags.lora_rank), &model::Footprint::lora_fine_tuning);
}

}  // namespace

void AddInfo(CLI::App& app) {
  auto* sub = app.add_subcommand(
      "info", "Describe a model folder and the memory that it needs, without loading the weights");
  auto flags = std::make_shared<Flags>();
  sub->add_option("--model", flags->folder, "Hugging Face folder; config.json is enough")->required();
  sub->add_option("--lora-rank", flags->lora_rank, "rank of the adapters in the LoRA figure")
      ->check(CLI::Range(1, 4096))->capture_default_str();
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
