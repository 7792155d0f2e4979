// Apache-2.0. What config.json says of a Phi decoder: sizes, and the few choices by which the
// members of the family differ.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pivotal::model {

// The classes that config.json names. Phi-3-vision is its text model; the images are left out.
enum class Architecture { kPhi, kPhi3, kPhi3Small, kPhi3V, kPhimoe };

// "Phi3ForCausalLM"
std::string_view ArchitectureName(Architecture architecture);

// Rotary positions over the first `partial` of each head. LongRoPE (arXiv 2402.13753) divides the
// frequencies by `short_factor`, in sequences longer than `original_length` by `long_factor`, and
// multiplies cosine and sine by the scale that goes with it.
struct RopeConfig {
  double theta = 10000.0;
  double partial = 1.0;
  std::vector<double> short_factor, long_factor;  // one a frequency; empty: plain positions
  double short_scale = 1.0, long_scale = 1.0;
  int64_t original_length = 0;  // 0: no LongRoPE

  // True if a sequence of `length` tokens takes the long factors.
  bool IsLong(int64_t length) const { return original_length > 0 && length > original_length; }
};

// Phi-3-small's attention, in all layers but every `dense_every`-th: key block j serves query block
// i if j <= i and (i - j < local_blocks or (j + h * step + 1) % vertical_stride == 0), for head h
// with step = max(1, vertical_stride / heads), or 0 where all heads share one pattern.
struct BlockSparseConfig {
  int64_t block = 0;  // tokens; 0: dense attention everywhere
  int64_t local_blocks = 16, vertical_stride = 8, dense_every = 2;
  bool same_for_all_heads = false;
};

struct PhiConfig {
  enum class Norm { kRms, kLayer };                    // LayerNorm has a bias
  enum class Qkv { kFused, kGrouped, kSeparate };      // one matrix: all q, k, v; or per KV head
  enum class Mlp { kSwiGlu, kGelu, kGegelu, kExperts };

  Architecture architecture = Architecture::kPhi3;
  Norm norm = Norm::kRms;
  Qkv qkv = Qkv::kFused;
  Mlp mlp = Mlp::kSwiGlu;
  bool parallel = false;        // attention and MLP read the same norm, and both are added
  bool attention_bias = false;  // on q, k, v and the output projection
  bool mlp_bias = false;
  bool head_bias = false;
  bool qk_norm = false;         // LayerNorm on each head's query and key
  bool tie_word_embeddings = false;

  int64_t vocab_size = 32064;
  int64_t hidden_size = 3072;
  int64_t intermediate_size = 8192;
  int64_t num_hidden_layers = 32;
  int64_t num_attention_heads = 32;
  int64_t num_key_value_heads = 32;
  int64_t head_dim = 96;
  int64_t max_position_embeddings = 4096;
  int64_t sliding_window = 0;   // keys further back than this are not attended; 0: all are
  double norm_eps = 1e-5;
  double initializer_range = 0.02;
  RopeConfig rope;

  BlockSparseConfig block_sparse;
  double gegelu_limit = 20.0;
  double embedding_multiplier = 1.0;    // muP
  double logit_divisor = 1.0;           // muP
  double attention_scale = 0;           // 0: 1 / sqrt(head_dim)
  std::vector<int64_t> masked_tokens;   // never predicted: logit -inf

  int64_t num_experts = 0;              // two of them serve each token
  double router_jitter = 0.01;          // experts closer to the best than twice this share its weight

  int64_t bos_token_id = 1, pad_token_id = 0;
  std::vector<int64_t> eos_token_ids = {2};  // any of them ends a response
  bool eos_is_complete = false;  // generation_config.json names them; config.json's leave out ends of turns

  int64_t rotary_dim() const { return static_cast<int64_t>(static_cast<double>(head_dim) * rope.partial); }
  bool IsBlockSparse(int64_t layer) const {
    return block_sparse.block > 0 && (layer + 1) % block_sparse.dense_every != 0;
  }

  // Throws Error that names the field, e.g. "hidden_size 100 is not a multiple of ...".
  void Validate(const std::string& source) const;
  // Throws Error that names the first id outside the vocabulary.
  void CheckTokens(std::span<const int32_t> tokens) const;
};

}  // namespace pivotal::model
