// Apache-2.0.
#include "model/config_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"

namespace pivotal::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// Returns whether `json` can be read as a T. The JSON library would cut 2.5 to an int64_t and wrap
// larger integers; both are refused here.
template <typename T>
bool IsA(const Json& json) {
  if constexpr (std::is_same_v<T, int64_t>) {
    return json.is_number_integer() &&
           (!json.is_number_unsigned() || json.get<uint64_t>() <= INT64_MAX);
  } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
    return json.is_array() && std::ranges::all_of(json, IsA<int64_t>);
  } else {
    return std::is_same_v<T, bool> || !json.is_boolean();
  }
}

// Reads the keys of one JSON object. A key that is absent or null leaves the value as it is.
class Keys {
 public:
  Keys(const Json& json, const std::string& source) : json_(json), source_(source) {}

  bool Has(const char* key) const {
    const auto it = json_.find(key);
    return it != json_.end() && !it->is_null();
  }

  template <typename T>
  void Read(const char* key, T& value) const {
    if (!Has(key)) return;
    const Json& json = json_.at(key);
    try {
      if (IsA<T>(json)) {
        json.get_to(value);
        return;
      }
    } catch (const Json::exception&) {  // reported below
    }
    Fail("{}: \"{}\" has the wrong type: {}", source_, key, json.dump().substr(0, 80));
  }

  Keys Object(const char* key) const {
    if (!json_.at(key).is_object()) Fail("{}: \"{}\" is not an object", source_, key);
    return {json_.at(key), source_};
  }

  // Throws Error if a key that changes the result has another value than the supported one.
  void Expect(const char* key, const Json& value) const {
    if (!Has(key) || json_.at(key) == value) return;
    Fail("{}: \"{}\": {} is not supported (only {})", source_, key, json_.at(key).dump(),
         value.dump());
  }

  // Reads `eos_token_id`, one id or a list.
  void ReadStopTokens(std::vector<int64_t>& ids) const {
    if (!Has("eos_token_id")) return;
    if (json_.at("eos_token_id").is_array()) return Read("eos_token_id", ids);
    ids.assign(1, 0);
    Read("eos_token_id", ids[0]);
  }

  const std::string& source() const { return source_; }

 private:
  const Json& json_;
  const std::string& source_;
};

Architecture ReadArchitecture(const Keys& keys) {
  std::vector<std::string> names;
  std::string type;
  keys.Read("architectures", names);
  keys.Read("model_type", type);
  if (names.size() == 1)
    if (const auto known = FindArchitecture(names.front())) return *known;
  if (names.empty())
    if (const auto known = FindModelType(type)) return *known;
  if (names.empty() && !type.empty()) names = {fmt::format("(none named) of type {}", type)};
  Fail(
      "{}: architecture {} is not supported; Pivotal runs PhiForCausalLM (Phi-1, 1.5, 2), "
      "Phi3ForCausalLM (Phi-3, Phi-4), Phi3SmallForCausalLM, Phi3VForCausalLM (its text model), "
      "PhimoeForCausalLM, and LlamaForCausalLM where it is a Phi-3 by another name",
      keys.source(), names.empty() ? "(none named)" : fmt::format("{}", fmt::join(names, ", ")));
}

// Returns transformers' defaults.
PhiConfig DefaultsOf(Architecture architecture) {
  PhiConfig c;
  c.architecture = architecture;
  switch (architecture) {
    case Architecture::kPhi:
      c.vocab_size = 51200;
      c.hidden_size = 2048;
      c.num_hidden_layers = 24;
      c.max_position_embeddings = 2048;
      c.rope.partial = 0.5;
      c.norm = PhiConfig::Norm::kLayer;
      c.qkv = PhiConfig::Qkv::kSeparate;
      c.mlp = PhiConfig::Mlp::kGelu;
      c.parallel = c.attention_bias = c.mlp_bias = c.head_bias = true;
      break;
    case Architecture::kPhi3:
    case Architecture::kPhi3V: c.eos_token_ids = {32000}; break;
    case Architecture::kPhi3Small:
      c.vocab_size = 100352;
      c.hidden_size = 4096;
      c.intermediate_size = 14336;
      c.max_position_embeddings = 8192;
      c.rope.theta = 1e6;
      c.norm = PhiConfig::Norm::kLayer;
      c.qkv = PhiConfig::Qkv::kGrouped;
      c.mlp = PhiConfig::Mlp::kGegelu;
      c.attention_bias = c.mlp_bias = c.tie_word_embeddings = true;
      c.bos_token_id = 100257;
      c.eos_token_ids = {100257};
      break;
    case Architecture::kPhimoe:
      c.hidden_size = 4096;
      c.intermediate_size = 6400;
      c.num_key_value_heads = 8;
      c.max_position_embeddings = 4096 * 32;
      c.rope.theta = 1e6;
      c.norm = PhiConfig::Norm::kLayer;
      c.qkv = PhiConfig::Qkv::kSeparate;
      c.mlp = PhiConfig::Mlp::kExperts;
      c.num_experts = 16;
      break;
    case Architecture::kLlama:
      c.vocab_size = 32000;
      c.hidden_size = 4096;
      c.intermediate_size = 11008;
      c.max_position_embeddings = 2048;
      c.norm_eps = 1e-6;
      break;
  }
  return c;
}

void ReadSizes(const Keys& keys, PhiConfig& c) {
  keys.Read("vocab_size", c.vocab_size);
  keys.Read("hidden_size", c.hidden_size);
  keys.Read(c.mlp == PhiConfig::Mlp::kGegelu ? "ff_intermediate_size" : "intermediate_size",
            c.intermediate_size);
  keys.Read("num_hidden_layers", c.num_hidden_layers);
  keys.Read("num_attention_heads", c.num_attention_heads);
  if (c.architecture != Architecture::kPhimoe) c.num_key_value_heads = c.num_attention_heads;
  keys.Read("num_key_value_heads", c.num_key_value_heads);
  if (c.num_attention_heads < 1 ||
      (!keys.Has("head_dim") && c.hidden_size % c.num_attention_heads != 0))
    Fail("{}: hidden_size {} does not split into {} heads", keys.source(), c.hidden_size,
         c.num_attention_heads);
  c.head_dim = c.hidden_size / c.num_attention_heads;
  keys.Read("head_dim", c.head_dim);
  keys.Read("max_position_embeddings", c.max_position_embeddings);
  if (c.architecture != Architecture::kLlama) keys.Read("sliding_window", c.sliding_window);
}

// Reads LongRoPE's factors and scales as transformers does. Phi-3-small and Phi-3.5-MoE give the
// scales; for Phi-3 they follow from the lengths.
void ReadLongRope(const Keys& keys, const Keys& scaling, PhiConfig& c) {
  RopeConfig& rope = c.rope;
  scaling.Read("short_factor", rope.short_factor);
  scaling.Read("long_factor", rope.long_factor);
  const bool is_phi3 =
      c.architecture == Architecture::kPhi3 || c.architecture == Architecture::kPhi3V;
  rope.original_length = is_phi3 ? 4096 : c.max_position_embeddings;
  if (!is_phi3) scaling.Read("original_max_position_embeddings", rope.original_length);
  keys.Read("original_max_position_embeddings", rope.original_length);

  const auto original = static_cast<double>(rope.original_length);
  double factor = static_cast<double>(c.max_position_embeddings) / original;
  if (c.architecture != Architecture::kPhi3Small) scaling.Read("factor", factor);
  double scale = factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original));
  scaling.Read("attention_factor", scale);
  rope.short_scale = rope.long_scale = scale;
  if (is_phi3) return;
  if (c.architecture == Architecture::kPhimoe) {
    for (const char* key : {"short_mscale", "long_mscale"})
      if (!scaling.Has(key))
        Fail("{}: \"{}\" is missing beside the longrope factors", keys.source(), key);
    // transformers chooses Phi-3.5-MoE's scale by length, but never uses its long factors.
    rope.long_factor = rope.short_factor;
  }
  scaling.Read("short_mscale", rope.short_scale);
  scaling.Read("long_mscale", rope.long_scale);
}

// Reads rotary settings: at top level (transformers 4) or under rope_parameters (5).
void ReadRope(const Keys& keys, PhiConfig& c) {
  keys.Read(c.architecture == Architecture::kPhi3Small ? "rope_embedding_base" : "rope_theta",
            c.rope.theta);
  const bool is_partial =  // whether transformers reads the key
      c.architecture != Architecture::kPhimoe && c.architecture != Architecture::kLlama;
  if (is_partial && c.architecture != Architecture::kPhi3Small)
    keys.Read("partial_rotary_factor", c.rope.partial);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!keys.Has(key)) continue;
    const Keys scaling = keys.Object(key);
    std::string type = "default";
    scaling.Read("type", type);
    scaling.Read("rope_type", type);
    scaling.Read("rope_theta", c.rope.theta);
    if (is_partial) scaling.Read("partial_rotary_factor", c.rope.partial);
    if (type == "default") continue;
    const bool old_name =
        (type == "su" || type == "yarn") && c.architecture != Architecture::kPhimoe;
    if ((type != "longrope" && !old_name) || c.architecture == Architecture::kPhi ||
        c.architecture == Architecture::kLlama)
      Fail("{}: {} of type \"{}\" is not supported for {}", keys.source(), key, type,
           ArchitectureName(c.architecture));
    ReadLongRope(keys, scaling, c);
  }
}

void ReadPhi(const Keys& keys, PhiConfig& c) {
  keys.Read("layer_norm_eps", c.norm_eps);
  keys.Read("qk_layernorm", c.qk_norm);
  keys.Read("tie_word_embeddings", c.tie_word_embeddings);
  keys.Expect("hidden_act", "gelu_new");
}

void ReadPhi3(const Keys& keys, PhiConfig& c) {
  keys.Read("rms_norm_eps", c.norm_eps);
  keys.Read("tie_word_embeddings", c.tie_word_embeddings);
  keys.Expect("hidden_act", "silu");
  keys.Expect("attention_bias", false);
}

// Reads what a Llama has in common with a Phi-3, and refuses the rest.
void ReadLlama(const Keys& keys, PhiConfig& c) {
  keys.Read("rms_norm_eps", c.norm_eps);
  keys.Read("tie_word_embeddings", c.tie_word_embeddings);
  keys.Expect("hidden_act", "silu");
  keys.Expect("attention_bias", false);
  keys.Expect("mlp_bias", false);
}

void ReadPhi3Small(const Keys& keys, PhiConfig& c) {
  keys.Read("layer_norm_epsilon", c.norm_eps);
  keys.Read("gegelu_limit", c.gegelu_limit);
  keys.Expect("hidden_act", "gegelu");
  keys.Expect("rope_position_scale", 1.0);
  keys.Expect("tie_word_embeddings", true);
  BlockSparseConfig& sparse = c.block_sparse;
  sparse.block = 64;
  keys.Read("blocksparse_block_size", sparse.block);
  keys.Read("blocksparse_num_local_blocks", sparse.local_blocks);
  keys.Read("blocksparse_vert_stride", sparse.vertical_stride);
  keys.Read("blocksparse_homo_head_pattern", sparse.same_for_all_heads);
  keys.Read("dense_attention_every_n_layers", sparse.dense_every);
  keys.Read("dummy_token_indices", c.masked_tokens);
  bool mup = true;
  double attention = 1.0;
  keys.Read("mup_use_scaling", mup);
  keys.Read("mup_attn_multiplier", attention);
  if (mup) c.attention_scale = attention / static_cast<double>(c.head_dim);
  c.embedding_multiplier = 10.0;
  c.logit_divisor = 8.0;
  keys.Read("mup_embedding_multiplier", c.embedding_multiplier);
  keys.Read("mup_width_multiplier", c.logit_divisor);
}

void ReadPhimoe(const Keys& keys, PhiConfig& c) {
  keys.Read("rms_norm_eps", c.norm_eps);
  keys.Read("attention_bias", c.attention_bias);
  keys.Read("lm_head_bias", c.head_bias);
  keys.Read("tie_word_embeddings", c.tie_word_embeddings);
  keys.Read("num_local_experts", c.num_experts);
  keys.Read("router_jitter_noise", c.router_jitter);
  keys.Expect("num_experts_per_tok", 2);
  keys.Expect("hidden_act", "silu");
}

Json ParseConfig(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    if (error && error != std::errc::no_such_file_or_directory)
      Fail("{}: {}", folder.string(), data::ErrnoText(error.value()));
    Fail("{}: no such folder; --model takes a Hugging Face folder with config.json",
         folder.string());
  }
  const std::string source = (folder / "config.json").string();
  return data::ParseJsonObject(data::ReadFile(source), source);
}

void WriteConfig(const Json& json, const fs::path& folder) {
  data::WriteFile(folder / "config.json", json.dump(2) + "\n");
}

void BecomePhi3(Json& json) {
  json["architectures"] = {ArchitectureName(Architecture::kPhi3)};
  json["model_type"] = "phi3";
}

// Writes the keys that the config of a Llama leaves out because transformers has defaults for them,
// which are others for a Phi-3.
void AddLlamaDefaults(const PhiConfig& c, Json& json) {
  const Json values = {{"vocab_size", c.vocab_size},
                       {"hidden_size", c.hidden_size},
                       {"intermediate_size", c.intermediate_size},
                       {"num_key_value_heads", c.num_key_value_heads},
                       {"max_position_embeddings", c.max_position_embeddings},
                       {"rms_norm_eps", c.norm_eps},
                       {"bos_token_id", c.bos_token_id},
                       {"eos_token_id", 2},
                       {"pad_token_id", nullptr}};
  for (const auto& [key, value] : values.items())
    if (!json.contains(key)) json[key] = value;
}

}  // namespace

PhiConfig LoadPhiConfig(const fs::path& folder) {
  const Json json = ParseConfig(folder);
  const std::string source = (folder / "config.json").string();
  const Keys keys(json, source);
  PhiConfig config = DefaultsOf(ReadArchitecture(keys));
  keys.Expect("quantization_config", nullptr);
  ReadSizes(keys, config);
  switch (config.architecture) {
    case Architecture::kPhi: ReadPhi(keys, config); break;
    case Architecture::kPhi3:
    case Architecture::kPhi3V: ReadPhi3(keys, config); break;
    case Architecture::kPhi3Small: ReadPhi3Small(keys, config); break;
    case Architecture::kPhimoe: ReadPhimoe(keys, config); break;
    case Architecture::kLlama: ReadLlama(keys, config); break;
  }
  ReadRope(keys, config);
  keys.Read("initializer_range", config.initializer_range);
  keys.Read("bos_token_id", config.bos_token_id);
  keys.Read("pad_token_id", config.pad_token_id);
  keys.ReadStopTokens(config.eos_token_ids);
  std::error_code ignored;
  if (const auto generation = folder / "generation_config.json"; fs::exists(generation, ignored)) {
    const std::string where = generation.string();
    const Json settings = data::ParseJsonObject(data::ReadFile(where), where);
    const Keys generation_keys(settings, where);
    generation_keys.ReadStopTokens(config.eos_token_ids);
    config.eos_is_complete = generation_keys.Has("eos_token_id");
  }
  config.Validate(source);
  return config;
}

void SavePhiConfig(const PhiConfig& config, const fs::path& folder) {
  if (config.architecture != Architecture::kPhi3 || config.rope.original_length > 0 ||
      config.rope.partial != 1.0 ||
      config.head_dim * config.num_attention_heads != config.hidden_size)
    Fail("{}: a new config.json is written only for Phi3ForCausalLM with plain positions",
         folder.string());
  const Json eos =
      config.eos_token_ids.size() == 1 ? Json(config.eos_token_ids[0]) : Json(config.eos_token_ids);
  WriteConfig({{"architectures", {"Phi3ForCausalLM"}},
               {"model_type", "phi3"},
               {"vocab_size", config.vocab_size},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"num_hidden_layers", config.num_hidden_layers},
               {"num_attention_heads", config.num_attention_heads},
               {"num_key_value_heads", config.num_key_value_heads},
               {"max_position_embeddings", config.max_position_embeddings},
               {"original_max_position_embeddings", config.max_position_embeddings},
               {"rms_norm_eps", config.norm_eps},
               {"rope_theta", config.rope.theta},
               {"rope_scaling", nullptr},
               {"initializer_range", config.initializer_range},
               {"sliding_window", config.sliding_window > 0 ? Json(config.sliding_window) : Json()},
               {"tie_word_embeddings", config.tie_word_embeddings},
               {"bos_token_id", config.bos_token_id},
               {"eos_token_id", eos},
               {"pad_token_id", config.pad_token_id},
               {"hidden_act", "silu"},
               {"attention_bias", false},
               {"attention_dropout", 0.0},
               {"embd_pdrop", 0.0},
               {"resid_pdrop", 0.0},
               {"use_cache", true},
               {"torch_dtype", "float32"}},
              folder);
}

void CopyPhiConfig(const PhiConfig& config, const fs::path& origin, const std::string& dtype,
                   const fs::path& folder) {
  Json json = ParseConfig(origin);
  json[json.contains("dtype") ? "dtype" : "torch_dtype"] = dtype;
  if (json.value("tie_word_embeddings", Json()) == !config.tie_word_embeddings)
    json["tie_word_embeddings"] = config.tie_word_embeddings;
  if (config.architecture == Architecture::kPhi3V) {
    BecomePhi3(json);
    for (const char* vision : {"img_processor", "embd_layer", "auto_map"}) json.erase(vision);
  } else if (config.architecture == Architecture::kLlama) {
    BecomePhi3(json);
    for (const char* llama : {"mlp_bias", "pretraining_tp", "sliding_window", "auto_map"})
      json.erase(llama);
    AddLlamaDefaults(config, json);
  }
  WriteConfig(json, folder);
}

}  // namespace pivotal::model
