// Apache-2.0. What config.json says of a Phi-3 style decoder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pivotal::model {

// `Phi3ForCausalLM` as transformers defines it: RMSNorm, fused qkv and gate_up projections, SwiGLU,
// rotary positions, grouped-query attention, optional sliding window.
struct PhiConfig {
  int64_t vocab_size = 32064;
  int64_t hidden_size = 3072;
  int64_t intermediate_size = 8192;
  int64_t num_hidden_layers = 32;
  int64_t num_attention_heads = 32;
  int64_t num_key_value_heads = 32;
  int64_t max_position_embeddings = 4096;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  double initializer_range = 0.02;
  int64_t sliding_window = 0;  // keys further back than this are not attended; 0: all are
  bool tie_word_embeddings = false;
  int64_t bos_token_id = 1, pad_token_id = 0;
  std::vector<int64_t> eos_token_ids = {2};  // any of them ends a response

  int64_t head_dim() const { return hidden_size / num_attention_heads; }
  int64_t num_parameters() const;

  // Throws Error that names the field, e.g. "hidden_size 100 is not a multiple of ...".
  void Validate(const std::string& source) const;
};

// Reads FOLDER/config.json as transformers 4 (`rope_theta`, `rope_scaling`) or 5 (`rope_parameters`)
// writes it. Throws Error for another architecture, a key that would change the result and is not
// supported (rope scaling, partial rotary, attention bias, another activation), or a bad value.
// `eos_token_ids` come from generation_config.json where that names them.
PhiConfig LoadPhiConfig(const std::filesystem::path& folder);

// Writes config.json in transformers 4's form, which transformers 5 reads too.
void SavePhiConfig(const PhiConfig& config, const std::filesystem::path& folder);

}  // namespace pivotal::model
