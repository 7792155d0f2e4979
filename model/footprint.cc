// Apache-2.0.
#include "model/footprint.h"

#include "model/weights.h"

namespace pivotal::model {

Footprint FootprintOf(const PhiConfig& config, int64_t element, int64_t lora_rank) {
  Footprint f;
  int64_t experts = 0;
  CollectWeights(config, [&](const std::string& name, const std::vector<int64_t>& shape, Init) {
    int64_t size = 1;
    for (int64_t dim : shape) size *= dim;
    f.parameters += size;
    if (name.find(".experts.") != std::string::npos) experts += size;
    return at::Tensor();
  });
  for (const LinearShape& layer : LinearLayers(config))
    f.lora_parameters += lora_rank * (layer.out + layer.in);
  f.active_parameters = f.parameters - experts;
  if (experts > 0) f.active_parameters += 2 * (experts / config.num_experts);
  f.weights = f.parameters * element;
  f.kv_per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * element;
  const int64_t master = element < 4 ? 4 : 0;
  f.full_fine_tuning = f.parameters * (2 * element + 2 * 4 + master);
  f.lora_fine_tuning = f.weights + f.lora_parameters * 4 * 4;
  return f;
}

}  // namespace pivotal::model
