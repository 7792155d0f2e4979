// Apache-2.0.
#include "model/phi_config.h"

#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/file_sink.h"

namespace pivotal::model {
namespace {

using Json = nlohmann::json;

template <typename T>
void Read(const Json& json, const char* key, const std::string& source, T& value) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return;
  try {
    it->get_to(value);
  } catch (const Json::exception&) {
    Fail("{}: \"{}\" has the wrong type: {}", source, key, it->dump());
  }
}

Json ParseObject(const std::string& source) {
  Json json = Json::parse(data::ReadFile(source), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) Fail("{}: not a JSON object; download the file again", source);
  return json;
}

// `eos_token_id` is one id or a list; generation_config.json has the last word.
void ReadStopTokens(const Json& json, const std::string& source, PhiConfig& config) {
  const auto it = json.find("eos_token_id");
  if (it == json.end() || it->is_null()) return;
  if (it->is_array()) {
    Read(json, "eos_token_id", source, config.eos_token_ids);
  } else {
    int64_t id = 0;
    Read(json, "eos_token_id", source, id);
    config.eos_token_ids = {id};
  }
}

// Rotary settings stand at top level (transformers 4) or under rope_parameters (5).
void ReadRope(const Json& json, const std::string& source, PhiConfig& config) {
  Read(json, "rope_theta", source, config.rope_theta);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto it = json.find(key);
    if (it == json.end() || it->is_null()) continue;
    if (!it->is_object()) Fail("{}: \"{}\" is not an object", source, key);
    std::string type = "default";
    Read(*it, "type", source, type);
    Read(*it, "rope_type", source, type);
    if (type != "default")
      Fail("{}: {} of type \"{}\" is not supported; use a model with plain rotary positions "
           "(Phi-3-mini-4k, Phi-3-medium-4k, Phi-4)", source, key, type);
    Read(*it, "rope_theta", source, config.rope_theta);
    double partial = 1.0;
    Read(*it, "partial_rotary_factor", source, partial);
    if (partial != 1.0) Fail("{}: partial_rotary_factor {} is not supported", source, partial);
  }
}

// A key that changes the result and is not understood is an error, not ignored.
void RefuseUnsupported(const Json& json, const std::string& source) {
  const std::pair<const char*, Json> expected[] = {{"hidden_act", "silu"},
                                                   {"partial_rotary_factor", 1.0},
                                                   {"attention_bias", false},
                                                   {"quantization_config", nullptr}};
  for (const auto& [key, value] : expected) {
    const auto it = json.find(key);
    if (it == json.end() || it->is_null() || *it == value) continue;
    Fail("{}: \"{}\": {} is not supported (only {})", source, key, it->dump(), value.dump());
  }
}

void CheckArchitecture(const Json& json, const std::string& source) {
  std::vector<std::string> architectures;
  Read(json, "architectures", source, architectures);
  if (architectures != std::vector<std::string>{"Phi3ForCausalLM"})
    Fail("{}: architecture {} is not supported; Pivotal runs Phi3ForCausalLM "
         "(Phi-3-mini-4k, Phi-3-medium-4k, Phi-4)", source,
         architectures.empty() ? "(none named)" : architectures.front());
}

}  // namespace

int64_t PhiConfig::num_parameters() const {
  const int64_t qkv = (num_attention_heads + 2 * num_key_value_heads) * head_dim() * hidden_size;
  const int64_t layer = qkv + hidden_size * hidden_size + 3 * intermediate_size * hidden_size +
                        2 * hidden_size;
  return num_hidden_layers * layer + (tie_word_embeddings ? 1 : 2) * vocab_size * hidden_size +
         hidden_size;
}

void PhiConfig::Validate(const std::string& source) const {
  const std::pair<const char*, int64_t> sizes[] = {
      {"vocab_size", vocab_size}, {"hidden_size", hidden_size},
      {"intermediate_size", intermediate_size}, {"num_hidden_layers", num_hidden_layers},
      {"num_attention_heads", num_attention_heads}, {"num_key_value_heads", num_key_value_heads},
      {"max_position_embeddings", max_position_embeddings}};
  for (const auto& [name, value] : sizes) {
    if (value < 1 || value > (int64_t{1} << 24))
      Fail("{}: {} is {}, expected 1 to {}", source, name, value, int64_t{1} << 24);
  }
  if (hidden_size % num_attention_heads != 0 || head_dim() % 2 != 0)
    Fail("{}: hidden_size {} does not split into {} heads of even size", source, hidden_size,
         num_attention_heads);
  if (num_attention_heads % num_key_value_heads != 0)
    Fail("{}: num_attention_heads {} is not a multiple of num_key_value_heads {}", source,
         num_attention_heads, num_key_value_heads);
  if (!(rms_norm_eps > 0) || !(rope_theta > 0))
    Fail("{}: rms_norm_eps and rope_theta must be above 0", source);
  if (sliding_window < 0) Fail("{}: sliding_window {} is negative", source, sliding_window);
}

PhiConfig LoadPhiConfig(const std::filesystem::path& folder) {
  const std::string source = (folder / "config.json").string();
  if (!std::filesystem::is_directory(folder))
    Fail("{}: no such folder; --model takes a Hugging Face folder with config.json", folder.string());
  const Json json = ParseObject(source);
  CheckArchitecture(json, source);
  RefuseUnsupported(json, source);

  PhiConfig config;
  Read(json, "vocab_size", source, config.vocab_size);
  Read(json, "hidden_size", source, config.hidden_size);
  Read(json, "intermediate_size", source, config.intermediate_size);
  Read(json, "num_hidden_layers", source, config.num_hidden_layers);
  Read(json, "num_attention_heads", source, config.num_attention_heads);
  config.num_key_value_heads = config.num_attention_heads;
  Read(json, "num_key_value_heads", source, config.num_key_value_heads);
  Read(json, "max_position_embeddings", source, config.max_position_embeddings);
  Read(json, "rms_norm_eps", source, config.rms_norm_eps);
  Read(json, "initializer_range", source, config.initializer_range);
  Read(json, "sliding_window", source, config.sliding_window);
  Read(json, "tie_word_embeddings", source, config.tie_word_embeddings);
  Read(json, "bos_token_id", source, config.bos_token_id);
  Read(json, "pad_token_id", source, config.pad_token_id);
  ReadStopTokens(json, source, config);
  if (const auto generation = folder / "generation_config.json"; std::filesystem::exists(generation))
    ReadStopTokens(ParseObject(generation.string()), generation.string(), config);
  ReadRope(json, source, config);
  config.Validate(source);
  return config;
}

void SavePhiConfig(const PhiConfig& config, const std::filesystem::path& folder) {
  const Json eos = config.eos_token_ids.size() == 1 ? Json(config.eos_token_ids[0])
                                                    : Json(config.eos_token_ids);
  const Json json = {{"architectures", {"Phi3ForCausalLM"}},
               {"model_type", "phi3"},
               {"vocab_size", config.vocab_size},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"num_hidden_layers", config.num_hidden_layers},
               {"num_attention_heads", config.num_attention_heads},
               {"num_key_value_heads", config.num_key_value_heads},
               {"max_position_embeddings", config.max_position_embeddings},
               {"original_max_position_embeddings", config.max_position_embeddings},
               {"rms_norm_eps", config.rms_norm_eps},
               {"rope_theta", config.rope_theta},
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
               {"torch_dtype", "float32"}};
  data::FileSink file(folder / "config.json");
  file.Write(json.dump(2) + "\n");
  file.Commit();
}

}  // namespace pivotal::model
