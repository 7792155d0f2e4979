// Apache-2.0.
#include "model/phi_config.h"

#include <cmath>

#include "data/error.h"

namespace pivotal::model {
namespace {

using Field = std::pair<const char*, int64_t>;

void CheckSizes(const PhiConfig& c, const std::string& source) {
  const Field sizes[] = {{"vocab_size", c.vocab_size},
                         {"hidden_size", c.hidden_size},
                         {"intermediate_size", c.intermediate_size},
                         {"num_hidden_layers", c.num_hidden_layers},
                         {"num_attention_heads", c.num_attention_heads},
                         {"num_key_value_heads", c.num_key_value_heads},
                         {"head_dim", c.head_dim},
                         {"max_position_embeddings", c.max_position_embeddings}};
  for (const auto& [name, value] : sizes) {
    if (value < 1 || value > (int64_t{1} << 24))
      Fail("{}: {} is {}, expected 1 to {}", source, name, value, int64_t{1} << 24);
  }
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    Fail("{}: num_attention_heads {} is not a multiple of num_key_value_heads {}", source,
         c.num_attention_heads, c.num_key_value_heads);
  if (c.sliding_window < 0) Fail("{}: sliding_window {} is negative", source, c.sliding_window);
}

void CheckRope(const PhiConfig& c, const std::string& source) {
  const RopeConfig& rope = c.rope;
  if (!(rope.theta > 0)) Fail("{}: rope_theta must be above 0, got {}", source, rope.theta);
  if (!(rope.partial > 0 && rope.partial <= 1))
    Fail("{}: partial_rotary_factor must be in (0, 1], got {}", source, rope.partial);
  if (c.rotary_dim() < 2 || c.rotary_dim() % 2 != 0)
    Fail("{}: {} of a head's {} dimensions would rotate; an even number of at least 2 is needed",
         source, c.rotary_dim(), c.head_dim);
  if (rope.original_length == 0) return;
  if (rope.original_length < 1)
    Fail("{}: original_max_position_embeddings must be at least 1, got {}", source,
         rope.original_length);
  const auto expected = static_cast<std::size_t>(c.rotary_dim() / 2);
  for (const auto& [name, factors] : {std::pair{"short_factor", &rope.short_factor},
                                      std::pair{"long_factor", &rope.long_factor}}) {
    if (factors->size() != expected)
      Fail("{}: {} has {} numbers, the model has {} frequencies", source, name, factors->size(),
           expected);
    for (double factor : *factors) {
      if (!(factor > 0) || !std::isfinite(factor))
        Fail("{}: {} holds {}; each must be above 0", source, name, factor);
    }
  }
}

void CheckChoices(const PhiConfig& c, const std::string& source) {
  if (!(c.norm_eps > 0)) Fail("{}: the norm's epsilon must be above 0, got {}", source, c.norm_eps);
  const BlockSparseConfig& sparse = c.block_sparse;
  if (sparse.block != 0) {
    const Field sizes[] = {{"blocksparse_block_size", sparse.block},
                           {"blocksparse_num_local_blocks", sparse.local_blocks},
                           {"blocksparse_vert_stride", sparse.vertical_stride},
                           {"dense_attention_every_n_layers", sparse.dense_every}};
    for (const auto& [name, value] : sizes)
      if (value < 1) Fail("{}: {} must be at least 1, got {}", source, name, value);
  }
  if (c.mlp == PhiConfig::Mlp::kExperts && (c.num_experts < 2 || c.num_experts > 4096))
    Fail("{}: num_local_experts is {}, expected 2 to 4096", source, c.num_experts);
  if (c.logit_divisor == 0) Fail("{}: mup_width_multiplier must not be 0", source);
  for (int64_t token : c.masked_tokens) {
    if (token < 0 || token >= c.vocab_size)
      Fail("{}: dummy_token_indices holds {}, vocab_size is {}", source, token, c.vocab_size);
  }
}

}  // namespace

std::string_view ArchitectureName(Architecture architecture) {
  switch (architecture) {
    case Architecture::kPhi: return "PhiForCausalLM";
    case Architecture::kPhi3: return "Phi3ForCausalLM";
    case Architecture::kPhi3Small: return "Phi3SmallForCausalLM";
    case Architecture::kPhi3V: return "Phi3VForCausalLM";
    case Architecture::kPhimoe: return "PhimoeForCausalLM";
  }
  Fail("unknown architecture {}", static_cast<int>(architecture));
}

void PhiConfig::Validate(const std::string& source) const {
  CheckSizes(*this, source);
  CheckRope(*this, source);
  CheckChoices(*this, source);
}

}  // namespace pivotal::model
