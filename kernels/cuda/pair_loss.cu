// Apache-2.0.
#include "kernels/cuda/pair_loss.h"

#include "kernels/cuda/device.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 4;  // pairs of a block
constexpr int kThreads = kWarps * kWarp;

struct Slope {
  double loss, gradient;  // by the difference of the sides' log-ratios
};

__device__ Slope Descend(const PairLossOptions& options, double difference) {
  const double s = options.beta * difference, e = options.label_smoothing;
  const double small = exp(-fabs(s)), rest = log1p(small);
  const double right = s >= 0 ? 1 / (1 + small) : small / (1 + small);  // sigmoid(s)
  const double wrong = s >= 0 ? small / (1 + small) : 1 / (1 + small);
  return {(1 - e) * (fmax(-s, 0.0) + rest) + e * (fmax(s, 0.0) + rest), options.beta * (e * right - (1 - e) * wrong)};
}

__device__ double SumOfSide(const PairLoss& task, int64_t side, int lane) {
  double sum = 0;
  for (int i = task.ends[side] + lane; i < task.ends[side + 1]; i += kWarp) sum += task.logprobs[i];
  return WarpSum(sum);
}

__global__ void __launch_bounds__(kThreads) LossOfPairs(PairLoss task) {
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (pair >= task.pairs) return;
  const int lane = threadIdx.x % kWarp;
  const double chosen = SumOfSide(task, 2 * pair, lane) - task.reference[2 * pair];
  const double rejected = SumOfSide(task, 2 * pair + 1, lane) - task.reference[2 * pair + 1];
  const Slope slope = Descend(task.options, chosen - rejected);
  if (lane == 0) {
    task.loss[pair] = static_cast<float>(slope.loss);
    task.rewards[2 * pair] = static_cast<float>(task.options.beta * chosen);
    task.rewards[2 * pair + 1] = static_cast<float>(task.options.beta * rejected);
  }
  const float gradient = static_cast<float>(slope.gradient * task.options.gradient_scale);
  const int middle = task.ends[2 * pair + 1], end = task.ends[2 * pair + 2];
  for (int i = task.ends[2 * pair] + lane; i < end; i += kWarp) task.gradient[i] = i < middle ? gradient : -gradient;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) LossOfTokenPairs(TokenPairLoss task) {
  const int64_t pair = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (pair >= task.pairs) return;
  const int lane = threadIdx.x % kWarp;
  const int32_t chosen = task.tokens[2 * pair], rejected = task.tokens[2 * pair + 1];
  const T* const hidden = static_cast<const T*>(task.hidden) + pair * task.hidden_size;
  const T* const up = static_cast<const T*>(task.weights) + chosen * task.hidden_size;
  const T* const down = static_cast<const T*>(task.weights) + rejected * task.hidden_size;
  float margin = 0;
  for (int64_t i = lane; i < task.hidden_size; i += kWarp)
    margin += ToFloat(hidden[i]) * (ToFloat(up[i]) - ToFloat(down[i]));
  margin = WarpSum(margin);
  if (task.bias != nullptr) margin += task.bias[chosen] - task.bias[rejected];
  const Slope slope = Descend(task.options, static_cast<double>(margin) - task.reference[pair]);
  const float gradient = static_cast<float>(slope.gradient * task.options.gradient_scale);
  if (lane == 0) {
    task.loss[pair] = static_cast<float>(slope.loss);
    task.margin_gradient[pair] = gradient;
  }
  float* const out = task.hidden_gradient + pair * task.hidden_size;
  for (int64_t i = lane; i < task.hidden_size; i += kWarp) out[i] = gradient * (ToFloat(up[i]) - ToFloat(down[i]));
}

dim3 GridFor(int64_t pairs) { return dim3(static_cast<unsigned>(Parts(pairs, kWarps))); }

}  // namespace

void LaunchPairLoss(const PairLoss& task, void* stream) {
  if (task.pairs > 0) Launch("LossOfPairs", LossOfPairs, GridFor(task.pairs), dim3(kThreads), 0, stream, task);
}

void LaunchTokenPairLoss(const TokenPairLoss& task, void* stream) {
  if (task.pairs == 0) return;
  const dim3 grid = GridFor(task.pairs);
  switch (task.type) {
    case ElementType::kFloat32:
      return Launch("LossOfTokenPairs", LossOfTokenPairs<float>, grid, dim3(kThreads), 0, stream, task);
    case ElementType::kBfloat16:
      return Launch("LossOfTokenPairs", LossOfTokenPairs<__nv_bfloat16>, grid, dim3(kThreads), 0, stream, task);
    case ElementType::kFloat16:
      return Launch("LossOfTokenPairs", LossOfTokenPairs<__half>, grid, dim3(kThreads), 0, stream, task);
  }
}

}  // namespace pivotal::kernels::cuda
