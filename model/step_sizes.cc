// Apache-2.0.
#include "model/step_sizes.h"

#include "model/decoder.h"
#include "model/trunk_cache.h"

namespace pivotal::model {

StepSizes SizesFor(const PhiConfig& config, const RolloutMemory& memory) {
  const int64_t block = kernels::kBlockTokens * KvBytesPerToken(config, memory.element);
  const int64_t rollout = block * KvBlocks::CountFor(memory.max_new_tokens);
  const int64_t logits = config.vocab_size * (4 + memory.element);  // float32 and as computed
  const auto batch_fits = [&](int64_t batch) {
    return batch * rollout <= memory.keys / 4 * 3 && batch * logits <= memory.rest / 2;
  };
  // Tensors of a layer that live at once, keys and values gathered for four times the tokens, and
  // up to eight parts of attention for a row.
  const int64_t activations =
      memory.element * (6 * config.hidden_size + 5 * config.intermediate_size +
                        2 * 4 * config.num_key_value_heads * config.head_dim);
  const int64_t parts = 8 * 4 * config.num_attention_heads * (config.head_dim + 2);
  const auto prefill_fits = [&](int64_t tokens) {
    return tokens * (activations + parts) <= memory.rest / 4;
  };
  StepSizes sizes;
  for (int32_t batch = 1024; batch > sizes.batch; batch /= 2)
    if (batch_fits(batch)) sizes.batch = batch;
  for (int32_t tokens = 4096; tokens > sizes.prefill_tokens; tokens /= 2)
    if (prefill_fits(tokens)) sizes.prefill_tokens = tokens;
  return sizes;
}

}  // namespace pivotal::model
