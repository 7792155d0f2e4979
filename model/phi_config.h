// Apache-2.0. The configuration of a Phi decoder: its sizes, and the choices by which the members
// of the family differ. config_file.h reads it from config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::model {

// The classes that config.json names. Of Phi-3-vision only the text model is run. A Llama without
// biases and with plain positions is a Phi-3 whose file has the matrices of queries, keys and
// values, and those of the MLP's gate and up, one by one; loading merges them.
enum class Architecture { kPhi, kPhi3, kPhi3Small, kPhi3V, kPhimoe, kLlama };

// Returns the class, e.g. "Phi3ForCausalLM".
std::string_view ArchitectureName(Architecture architecture);
// Returns the architecture of a class, or nothing if it is not supported.
std::optional<Architecture> FindArchitecture(std::string_view name);
// Returns the architecture of a config's `model_type`, e.g. "phi3", or nothing.
std::optional<Architecture> FindModelType(std::string_view type);

// Rotary positions. LongRoPE (arXiv 2402.13753) divides the frequencies by `short_factor` and
// multiplies cosine and sine by `short_scale`; in sequences longer than `original_length` it takes
// `long_factor` and `long_scale`.
struct RopeConfig {
  double theta = 10000.0;
  double partial = 1.0;                           // fraction of each head's dimensions that rotates
  std::vector<double> short_factor, long_factor;  // one a frequency; empty without LongRoPE
  double short_scale = 1.0, long_scale = 1.0;
  int64_t original_length = 0;  // 0: no LongRoPE

  // Returns whether a sequence of `length` tokens takes the long factors.
  bool IsLong(int64_t length) const { return original_length > 0 && length > original_length; }
};

// Phi-3-small's block-sparse attention. In head h, query block i attends to key block j if j <= i
// and (i - j < local_blocks or (j + h * step + 1) % vertical_stride == 0), with step = max(1,
// vertical_stride / heads), or 0 if all heads have the same pattern. Every `dense_every`-th layer
// is dense.
struct BlockSparseConfig {
  int64_t block = 0;  // tokens of a block; 0: all layers are dense
  int64_t local_blocks = 16, vertical_stride = 8, dense_every = 2;
  bool same_for_all_heads = false;
};

struct PhiConfig {
  enum class Norm { kRms, kLayer };  // LayerNorm has a bias
  // kFused: one matrix of all queries, all keys, all values. kGrouped: one matrix of each KV head's
  // queries, key and value in turn. kSeparate: three matrices.
  enum class Qkv { kFused, kGrouped, kSeparate };
  enum class Mlp { kSwiGlu, kGelu, kGegelu, kExperts };

  Architecture architecture = Architecture::kPhi3;
  Norm norm = Norm::kRms;
  Qkv qkv = Qkv::kFused;
  Mlp mlp = Mlp::kSwiGlu;
  bool parallel = false;        // attention and MLP read the same normed input; both are added
  bool attention_bias = false;  // bias of q, k, v and the output projection
  bool mlp_bias = false;
  bool head_bias = false;
  bool qk_norm = false;  // LayerNorm of each head's query and key
  bool tie_word_embeddings = false;

  int64_t vocab_size = 32064;
  int64_t hidden_size = 3072;
  int64_t intermediate_size = 8192;
  int64_t num_hidden_layers = 32;
  int64_t num_attention_heads = 32;
  int64_t num_key_value_heads = 32;
  int64_t head_dim = 96;
  int64_t max_position_embeddings = 4096;
  int64_t sliding_window = 0;  // tokens that a query attends to, its own included; 0: all
  double norm_eps = 1e-5;
  double initializer_range = 0.02;
  RopeConfig rope;

  BlockSparseConfig block_sparse;
  double gegelu_limit = 20.0;
  double embedding_multiplier = 1.0;   // muP
  double logit_divisor = 1.0;          // muP
  double attention_scale = 0;          // 0: 1 / sqrt(head_dim)
  std::vector<int64_t> masked_tokens;  // never predicted: their logits are -inf

  int64_t num_experts = 0;      // each token uses two
  double router_jitter = 0.01;  // the softmax is over experts closer to the best than twice this

  int64_t bos_token_id = 1, pad_token_id = 0;
  std::vector<int64_t> eos_token_ids = {2};  // each ends a response
  // Whether generation_config.json names the stop tokens; config.json leaves out ends of turns.
  bool eos_is_complete = false;

  int64_t rotary_dim() const {
    return static_cast<int64_t>(static_cast<double>(head_dim) * rope.partial);
  }
  bool IsBlockSparse(int64_t layer) const {
    return block_sparse.block > 0 && (layer + 1) % block_sparse.dense_every != 0;
  }

  // Throws Error that names `source`, the first bad field and its range.
  void Validate(const std::string& source) const;
  // Throws Error if a prompt of `tokens` and `new_tokens` after it exceed the model's positions.
  // The message calls the prompt `what` ("a prompt") and says which of the two can be shorter.
  void CheckLength(int64_t tokens, int64_t new_tokens, const std::string& what) const;
  // Throws Error that names the first id outside the vocabulary.
  void CheckTokens(std::span<const int32_t> tokens) const;
};

}  // namespace pivotal::model
