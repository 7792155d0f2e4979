// Apache-2.0. What a model needs, from its config alone.
#pragma once

#include <cstdint>
#include <string>

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

// What training is to hold.
struct TrainingShape {
  int64_t element = 4;            // bytes of one weight
  int64_t trained = 0;            // numbers that are trained
  int64_t trained_element = 4;    // bytes of one of them: adapters are in float32
  bool master = false;            // float32 copies of what is trained
  int64_t ranks = 1;              // that share the optimizer's state
  int64_t tokens = 0;             // that go through the model at once
  bool activation_checkpointing = false;
};

// Bytes of training with AdamW at their peak, on one rank. An estimate, activations by what each layer keeps for the
// backward pass: with 91M weights on the CPU the peak of the process was between 0.8 and 1.1 of it.
struct TrainingFootprint {
  int64_t weights = 0, gradients = 0, optimizer = 0, activations = 0;
  int64_t working = 0;  // the largest gradient in float32, logits of a few positions, LibTorch itself
  int64_t Total() const { return weights + gradients + optimizer + activations + working; }
};
TrainingFootprint TrainingFootprintOf(const PhiConfig& config, const TrainingShape& shape);

// "1.50 GiB"
std::string BytesText(int64_t bytes);

}  // namespace pivotal::model
