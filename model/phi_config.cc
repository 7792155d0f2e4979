// Apache-2.0.
#include "model/phi_config.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

#include "data/base/error.h"
#include "data/base/names.h"

namespace pivotal::model {
namespace {

constexpr auto kArchitectures = data::MakeNameTable<Architecture>(
    "architecture", {{Architecture::kPhi, "PhiForCausalLM"},
                     {Architecture::kPhi3, "Phi3ForCausalLM"},
                     {Architecture::kPhi3Small, "Phi3SmallForCausalLM"},
                     {Architecture::kPhi3V, "Phi3VForCausalLM"},
                     {Architecture::kPhimoe, "PhimoeForCausalLM"},
                     {Architecture::kLlama, "LlamaForCausalLM"}});

constexpr auto kModelTypes =
    data::MakeNameTable<Architecture>("model_type", {{Architecture::kPhi, "phi"},
                                                     {Architecture::kPhi3, "phi3"},
                                                     {Architecture::kPhi3Small, "phi3small"},
                                                     {Architecture::kPhi3V, "phi3_v"},
                                                     {Architecture::kPhimoe, "phimoe"},
                                                     {Architecture::kLlama, "llama"}});

using Field = std::pair<const char*, int64_t>;

// Checks that products of the sizes, each of which is in range, do not overflow.
void CheckTotal(const PhiConfig& c, const std::string& source) {
  constexpr double kMost = 1e13;
  const auto number = [](int64_t value) { return static_cast<double>(value); };
  const double hidden = number(c.hidden_size);
  const double attention =
      2 * number(c.num_attention_heads + c.num_key_value_heads) * number(c.head_dim);
  const double mlp = 3 * number(c.intermediate_size) * number(std::max<int64_t>(c.num_experts, 1));
  const double total =
      2 * number(c.vocab_size) * hidden + number(c.num_hidden_layers) * hidden * (attention + mlp);
  if (total > kMost)
    Fail("{}: the sizes make {:.1e} parameters, more than {:.0e}; correct the file", source, total,
         kMost);
}

void CheckSizes(const PhiConfig& c, const std::string& source) {
  const auto check = [&](int64_t highest, std::initializer_list<Field> fields) {
    for (const auto& [name, value] : fields) {
      if (value < 1 || value > highest)
        Fail("{}: {} is {}, expected 1 to {}", source, name, value, highest);
    }
  };
  check(int64_t{1} << 24, {{"vocab_size", c.vocab_size},
                           {"hidden_size", c.hidden_size},
                           {"intermediate_size", c.intermediate_size},
                           {"num_attention_heads", c.num_attention_heads},
                           {"num_key_value_heads", c.num_key_value_heads},
                           {"head_dim", c.head_dim},
                           {"max_position_embeddings", c.max_position_embeddings}});
  check(1024, {{"num_hidden_layers", c.num_hidden_layers}});
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    Fail("{}: num_attention_heads {} is not a multiple of num_key_value_heads {}", source,
         c.num_attention_heads, c.num_key_value_heads);
  CheckTotal(c, source);
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
  for (double scale : {rope.short_scale, rope.long_scale}) {
    if (!(scale > 0) || !std::isfinite(scale))
      Fail("{}: the longrope settings scale attention by {}; a number above 0 is needed", source,
           scale);
  }
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
  if (c.mlp == PhiConfig::Mlp::kExperts && (c.num_experts < 2 || c.num_experts > 1024))
    Fail("{}: num_local_experts is {}, expected 2 to 1024", source, c.num_experts);
  if (c.logit_divisor == 0) Fail("{}: mup_width_multiplier must not be 0", source);
  for (int64_t token : c.masked_tokens) {
    if (token < 0 || token >= c.vocab_size)
      Fail("{}: dummy_token_indices holds {}, vocab_size is {}", source, token, c.vocab_size);
  }
}

}  // namespace

std::string_view ArchitectureName(Architecture architecture) {
  return kArchitectures.Name(architecture);
}

std::optional<Architecture> FindArchitecture(std::string_view name) {
  return kArchitectures.Find(name);
}

std::optional<Architecture> FindModelType(std::string_view type) { return kModelTypes.Find(type); }

void PhiConfig::Validate(const std::string& source) const {
  CheckSizes(*this, source);
  CheckRope(*this, source);
  CheckChoices(*this, source);
}

void PhiConfig::CheckLength(int64_t tokens, int64_t new_tokens, const std::string& what) const {
  const int64_t room = max_position_embeddings - tokens;
  if (new_tokens <= room) return;
  if (room < 1)
    Fail("{} of {} tokens fills the model's {} positions, without room for an answer; shorten it",
         what, tokens, max_position_embeddings);
  Fail(
      "{} of {} tokens plus {} new ones is longer than the model's {} positions; lower "
      "--max-new-tokens to {} or less",
      what, tokens, new_tokens, max_position_embeddings, room);
}

void PhiConfig::CheckTokens(std::span<const int32_t> tokens) const {
  for (int32_t token : tokens)
    if (token < 0 || token >= vocab_size)
      Fail("token id {} is outside the vocabulary of {}", token, vocab_size);
}

}  // namespace pivotal::model
