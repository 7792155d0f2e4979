// Apache-2.0.
#include "model/ragged_attention.h"

#include <ATen/SDPBackend.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_fused_sdp_choice.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "model/tensor_transfer.h"

namespace pivotal::model {
namespace {

// Copies rows [N, heads, D] to the places of the paths through them. A node's gradient is a sum
// over these paths, which may be many: it is added up in float32 or wider.
struct GatherRowsFunction : torch::autograd::Function<GatherRowsFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& rows,
                            const at::Tensor& index) {
    context->save_for_backward({index});
    context->saved_data["rows"] = rows.size(0);
    return rows.index_select(0, index);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const at::Tensor& gradient = gradients[0];
    const at::ScalarType wide = c10::promoteTypes(gradient.scalar_type(), at::kFloat);
    std::vector<int64_t> shape = gradient.sizes().vec();
    shape[0] = context->saved_data["rows"].toInt();
    const at::Tensor sum = at::zeros(shape, gradient.options().dtype(wide))
                               .index_add_(0, context->get_saved_variables()[0], gradient.to(wide));
    return {sum.to(gradient.scalar_type()), at::Tensor()};
  }
};

at::Tensor GatherRows(const at::Tensor& rows, const at::Tensor& index) {
  if (!at::GradMode::is_enabled() || !rows.requires_grad()) return rows.index_select(0, index);
  return GatherRowsFunction::apply(rows, index);
}

// LibTorch's kernels take head sizes that are multiples of 8.
constexpr int64_t kHeadMultiple = 8;
int64_t Padding(int64_t dim) { return (kHeadMultiple - dim % kHeadMultiple) % kHeadMultiple; }

// LibTorch 2.11, aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, mha_varlen_fwd
// and mha_varlen_bwd: rows of query, key and value may be apart, elements of a head may not; starts
// are int32; KV heads may be fewer than heads; `is_causal` aligns the last query with the last key,
// and with a window too. The gradient is that of tools/autograd/derivatives.yaml.
at::Tensor Flash(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                 const RaggedBatch& batch) {
  const int64_t padding = Padding(query.size(-1));
  const auto padded = [&](const at::Tensor& t) {
    return padding == 0 ? t : at::constant_pad_nd(t, {0, padding});
  };
  std::optional<int64_t> left, right;
  if (batch.window > 0) {
    left = batch.window - 1;
    right = 0;
  }
  // At one query a sequence mha_varlen_fwd takes another way, made for decoding. The number here is
  // a bound, so 2 keeps training on the usual one.
  const int64_t max_queries = std::max<int64_t>(2, batch.max_queries);
  const at::Tensor out = std::get<0>(at::_flash_attention_forward(
      padded(query), padded(key), padded(value), batch.query_starts, batch.key_starts, max_queries,
      batch.max_keys, /*dropout_p=*/0.0, /*is_causal=*/true, /*return_debug_mask=*/false,
      batch.scale, left, right));
  return padding == 0 ? out : out.narrow(-1, 0, query.size(-1));
}

}  // namespace

RaggedKernel FlashKernel(const PhiConfig& config, const at::TensorOptions& options) {
  const auto type = c10::typeMetaToScalarType(options.dtype());
  // Backward passes of larger heads do not fit into every card's shared memory.
  constexpr int64_t kMaxHead = 192;
  const int64_t dim = config.head_dim + Padding(config.head_dim);
  if (!options.device().is_cuda() || dim > kMaxHead) return nullptr;
  if (type != at::kBFloat16 && type != at::kHalf) return nullptr;
  // LibTorch knows which cards its flash attention supports.
  const at::Tensor any = at::empty({1, 1, kHeadMultiple, dim}, options);
  const int64_t choice = at::_fused_sdp_choice(any, any, any, {}, 0.0, /*is_causal=*/true);
  if (choice != static_cast<int64_t>(at::SDPBackend::flash_attention)) return nullptr;
  return Flash;
}

RaggedPlan PlanRagged(std::span<const TokenForest::Segment> segments) {
  RaggedPlan plan;
  // The nodes of a segment's path, without its own, are those of its parent's path in `keys`.
  std::vector<int64_t> path_end;
  bool in_order = true;
  for (const TokenForest::Segment& segment : segments) {
    const int64_t first = plan.query_starts.back();
    if (segment.parent >= 0) {
      in_order = false;
      const int64_t end = path_end[segment.parent];
      for (int64_t i = end - segment.depth; i < end; ++i) plan.keys.push_back(plan.keys[i]);
    }
    for (int64_t i = 0; i < segment.length; ++i) plan.keys.push_back(first + i);
    path_end.push_back(std::ssize(plan.keys));
    plan.query_starts.push_back(first + segment.length);
    plan.key_starts.push_back(std::ssize(plan.keys));
    plan.max_queries = std::max(plan.max_queries, segment.length);
    plan.max_keys = std::max(plan.max_keys, segment.depth + segment.length);
  }
  if (in_order) plan.keys.clear();
  return plan;
}

RaggedAttention::RaggedAttention(const RaggedPlan& plan, double scale, int64_t window,
                                 c10::Device device, RaggedKernel kernel)
    : kernel_(std::move(kernel)) {
  batch_.max_queries = plan.max_queries;
  batch_.max_keys = plan.max_keys;
  batch_.scale = scale;
  // No mask differs from that of a window which reaches back to the first key.
  batch_.window = window < plan.max_keys ? window : 0;
  // All of it goes to the device at once.
  std::vector<int64_t> numbers = plan.query_starts;
  numbers.insert(numbers.end(), plan.key_starts.begin(), plan.key_starts.end());
  numbers.insert(numbers.end(), plan.keys.begin(), plan.keys.end());
  const at::Tensor there = ToDevice(numbers, device);
  const auto count = std::ssize(plan.query_starts);
  const at::Tensor starts = there.narrow(0, 0, 2 * count).to(at::kInt);
  batch_.query_starts = starts.narrow(0, 0, count);
  batch_.key_starts = starts.narrow(0, count, count);
  if (!plan.keys.empty()) keys_ = there.narrow(0, 2 * count, std::ssize(plan.keys));
}

at::Tensor RaggedAttention::operator()(const at::Tensor& query, const at::Tensor& key,
                                       const at::Tensor& value) const {
  const bool gathered = keys_.defined();
  return kernel_(query, gathered ? GatherRows(key, keys_) : key,
                 gathered ? GatherRows(value, keys_) : value, batch_)
      .flatten(1);
}

}  // namespace pivotal::model
