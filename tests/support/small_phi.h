// Apache-2.0. A small random Phi for tests.
#pragma once

#include <memory>

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
  config.initializer_range = 0.3;  // sharp distributions show errors
  config.pad_token_id = 3;
  return config;
}

inline std::unique_ptr<model::PhiModel> SmallPhi(const model::PhiConfig& config = SmallConfig(),
                                                 uint64_t seed = 1) {
  return model::RandomModel(config, seed);
}

// The same weights in another type.
inline std::unique_ptr<model::PhiModel> InType(const model::PhiModel& phi, at::ScalarType type) {
  model::ParameterMap parameters;
  for (const auto& [name, tensor] : phi.parameters()) parameters[name] = tensor.to(type, /*non_blocking=*/false, /*copy=*/true);
  return std::make_unique<model::PhiModel>(phi.config(), std::move(parameters), "test");
}
inline std::unique_ptr<model::PhiModel> InDouble(const model::PhiModel& phi) {
  return InType(phi, at::kDouble);
}

}  // namespace pivotal::testing
