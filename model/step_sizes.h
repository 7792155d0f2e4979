// Apache-2.0. How many rows the passes of a GPU take, by its memory.
#pragma once

#include <cstdint>

#include "model/phi_config.h"

namespace pivotal::model {

struct StepSizes {
  int32_t batch = 256;           // rollouts that decode at once
  int32_t prefill_tokens = 512;  // tokens of prefixes that one pass computes
};

// What the rollouts of a model have, in bytes.
struct RolloutMemory {
  int64_t element = 2;         // of one weight, key or value
  int64_t keys = 0;            // for keys and values
  int64_t rest = 0;            // for all else: logits, activations, scratch memory of attention
  int32_t max_new_tokens = 1;  // not bytes: of one rollout
};

// Returns the largest sizes that memory has room for, of a few: batches of up to 1,024, passes of
// up to 4,096 tokens (larger ones bring products little), neither below the defaults. A batch fits
// if all of its rollouts can become as long as they may in three quarters of the keys and values
// (prefixes have the rest), and its logits take at most half of the rest. A prefill takes a
// quarter.
StepSizes SizesFor(const PhiConfig& config, const RolloutMemory& memory);

}  // namespace pivotal::model
