// Apache-2.0. Small random Phi models of every kind, for tests.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/checkpoint.h"
#include "model/phi_model.h"

namespace pivotal::testing {

inline model::PhiConfig SmallConfig() {
  model::PhiConfig config;
  config.vocab_size = 61;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.max_position_embeddings = 96;
  config.initializer_range = 0.3;  // sharp distributions reveal errors
  config.pad_token_id = 3;
  return config;
}

inline std::unique_ptr<model::PhiModel> SmallPhi(const model::PhiConfig& config = SmallConfig(),
                                                 uint64_t seed = 1) {
  return model::RandomModel(config, seed);
}

// Returns a copy of the model with its weights converted to `type`.
inline std::unique_ptr<model::PhiModel> InType(const model::PhiModel& phi, at::ScalarType type) {
  model::ParameterMap parameters;
  for (const auto& [name, tensor] : phi.parameters())
    parameters[name] = tensor.to(type, /*non_blocking=*/false, /*copy=*/true);
  return std::make_unique<model::PhiModel>(phi.config(), std::move(parameters), "test");
}
inline std::unique_ptr<model::PhiModel> InDouble(const model::PhiModel& phi) {
  return InType(phi, at::kDouble);
}

// Returns a copy of the model, on `device`, whose linear layers are stored as `base` says.
inline std::unique_ptr<model::PhiModel> Quantised(const model::PhiModel& phi,
                                                  model::BaseWeights base,
                                                  at::Device device = at::kCPU) {
  const model::Quantiser quantise(base, device);
  model::ParameterMap parameters = phi.parameters();
  model::QuantisedMap quantised;
  for (const model::LinearShape& layer : model::LinearLayers(phi.config()))
    if (layer.CanBeQuantised())
      quantised[layer.name + ".weight"] =
          quantise(parameters.extract(layer.name + ".weight").mapped());
  for (auto& [name, tensor] : parameters) tensor = tensor.to(device);
  return std::make_unique<model::PhiModel>(phi.config(), std::move(parameters), "test",
                                           std::move(quantised));
}
// Returns a copy with plain weights: the numbers of the quantised ones.
inline std::unique_ptr<model::PhiModel> WithNumbersOf(const model::PhiModel& phi) {
  model::ParameterMap parameters = phi.parameters();
  for (const auto& [name, matrix] : phi.quantised())
    parameters[name] = matrix->Numbers(c10::typeMetaToScalarType(phi.options().dtype()));
  return std::make_unique<model::PhiModel>(phi.config(), std::move(parameters), "test");
}

// A small config of one kind of Phi, by name.
struct PhiVariant {
  std::string name;
  model::PhiConfig config;
};

inline std::vector<PhiVariant> PhiVariants() {
  using model::PhiConfig;
  std::vector<PhiVariant> variants;
  const auto add = [&](const char* name, auto change) {
    PhiVariant variant{name, SmallConfig()};
    change(variant.config);
    variants.push_back(std::move(variant));
  };
  add("phi3", [](PhiConfig&) {});
  add("phi3_window", [](PhiConfig& c) { c.sliding_window = 6; });
  add("phi3_long", [](PhiConfig& c) {
    c.rope.short_factor = {1.0, 1.5};
    c.rope.long_factor = {2.0, 5.0};
    c.rope.short_scale = 1.1;
    c.rope.long_scale = 1.3;
    c.rope.original_length = 14;
  });
  add("phi4_mini", [](PhiConfig& c) {  // partial rotation, one matrix for input and output
    c.head_dim = 8;
    c.num_attention_heads = 3;
    c.num_key_value_heads = 1;
    c.rope.partial = 0.5;
    c.tie_word_embeddings = true;
  });
  const auto phi2 = [](PhiConfig& c) {
    c.architecture = model::Architecture::kPhi;
    c.norm = PhiConfig::Norm::kLayer;
    c.qkv = PhiConfig::Qkv::kSeparate;
    c.mlp = PhiConfig::Mlp::kGelu;
    c.parallel = c.attention_bias = c.mlp_bias = c.head_bias = true;
    c.num_key_value_heads = c.num_attention_heads = 2;
    c.head_dim = 12;
    c.rope.partial = 0.5;
  };
  add("phi2", phi2);
  add("phi_qk_norm", [&](PhiConfig& c) {
    phi2(c);
    c.qk_norm = true;
  });
  add("phi3_small", [](PhiConfig& c) {
    c.architecture = model::Architecture::kPhi3Small;
    c.norm = PhiConfig::Norm::kLayer;
    c.qkv = PhiConfig::Qkv::kGrouped;
    c.mlp = PhiConfig::Mlp::kGegelu;
    c.attention_bias = c.mlp_bias = true;
    c.tie_word_embeddings = true;
    c.block_sparse = {.block = 4, .local_blocks = 2, .vertical_stride = 3, .dense_every = 2};
    c.gegelu_limit = 3;
    c.embedding_multiplier = 3;
    c.logit_divisor = 1.5;
    c.attention_scale = 0.4;
    c.masked_tokens = {7, 60};
  });
  add("phi_moe", [](PhiConfig& c) {
    c.architecture = model::Architecture::kPhimoe;
    c.norm = PhiConfig::Norm::kLayer;
    c.qkv = PhiConfig::Qkv::kSeparate;
    c.mlp = PhiConfig::Mlp::kExperts;
    c.attention_bias = c.head_bias = true;
    c.num_experts = 4;
    c.router_jitter = 0.1;
  });
  return variants;
}

}  // namespace pivotal::testing
