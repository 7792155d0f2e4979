// Apache-2.0.
#include "model/decoder.h"

#include <algorithm>
#include <cmath>

#include "data/base/error.h"
#include "model/cpu_decoder.h"
#include "model/phi_model.h"
#include "model/tensor_decoder.h"
#ifdef PIVOTAL_CUDA_DECODER
#include "model/cuda_stream.h"
#include "model/gpu_decoder.h"
#endif

namespace pivotal::model {

void Decoder::Draw(std::span<const DecodeRow> rows, std::span<RowDraw> draws,
                   const OnLogits& on_logits) {
  samplers_.resize(static_cast<std::size_t>(threads()));
  Decode(rows, [&](int64_t row, int thread, std::span<float> logits) {
    if (row >= std::ssize(draws)) return on_logits(row, thread, logits);
    samplers_[thread].Take(logits, *draws[row].params);
    draws[row].result = samplers_[thread].Sample(draws[row].uniform);
  });
}

std::unique_ptr<Decoder> MakeDecoder(const PhiModel& model, const DecoderOptions& options) {
  if (CpuDecoder::Supports(model)) return std::make_unique<CpuDecoder>(model, options);
  if (options.weights) {
    const std::string_view name = kernels::WeightTypeName(*options.weights);
    if (name != BaseWeightsName(model.base_weights()))
      Fail(
          "weights of type {} are for models on the CPU; leave them out, choose another --dtype, "
          "or load the model with nf4 or int8 weights",
          name);
  }
#ifdef PIVOTAL_CUDA_DECODER
  if (model.options().device().is_cuda() && GpuDecoder::Supports(model))
    return std::make_unique<GpuDecoder>(model, options, MakeCudaStream(model.options().device()),
                                        model.flash());
#endif
  return std::make_unique<TensorDecoder>(model, options);
}

int64_t KvElementBytes(const PhiModel& model) {
  return CpuDecoder::Supports(model) ? int64_t{sizeof(float)}
                                     : static_cast<int64_t>(model.options().dtype().itemsize());
}

int64_t KvBytesPerToken(const PhiConfig& config, int64_t element_bytes) {
  return config.num_hidden_layers *
         (AttentionShapeOf(config).block_size() / kernels::kBlockTokens) * element_bytes;
}

kernels::AttentionShape AttentionShapeOf(const PhiConfig& config) {
  kernels::AttentionShape shape;
  shape.heads = config.num_attention_heads;
  shape.kv_heads = config.num_key_value_heads;
  shape.head_dim = config.head_dim;
  shape.scale = static_cast<float>(config.attention_scale != 0 ? config.attention_scale
                                                               : 1.0 / std::sqrt(config.head_dim));
  shape.window = config.sliding_window;
  const BlockSparseConfig& sparse = config.block_sparse;
  shape.sparse_block = sparse.block;
  shape.sparse_local = sparse.local_blocks;
  shape.sparse_stride = sparse.vertical_stride;
  shape.sparse_head_step =
      sparse.same_for_all_heads ? 0 : std::max<int64_t>(1, sparse.vertical_stride / shape.heads);
  return shape;
}

}  // namespace pivotal::model
