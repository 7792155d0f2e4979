// Apache-2.0. What a model needs, from its config alone.
#pragma once

#include <cstdint>

#include "model/phi_config.h"

namespace pivotal::model {

// Bytes, without activations and without what LibTorch itself takes.
struct Footprint {
  int64_t parameters = 0;
  int64_t active_parameters = 0;   // that one token passes through: two of the experts
  int64_t lora_parameters = 0;     // adapters on every matrix of the layers
  int64_t weights = 0;
  int64_t kv_per_token = 0;        // keys and values of one token of one sequence
  int64_t full_fine_tuning = 0;    // weights, gradients, two float32 moments; float32 master weights
                                   // beside 16-bit ones
  int64_t lora_fine_tuning = 0;    // weights; adapters in float32 with gradients and two moments
};

// `element`: bytes of one weight (4 or 2).
Footprint FootprintOf(const PhiConfig& config, int64_t element, int64_t lora_rank);

}  // namespace pivotal::model
