// Apache-2.0.
#include "dpo/adamw_step.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <cstring>

#include "data/base/error.h"
#include "dpo/owned_tensors.h"
#include "kernels/adamw8.h"
#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"
#include "model/memory.h"
#ifdef PIVOTAL_CUDA_DECODER
#include <c10/cuda/CUDAStream.h>

#include "kernels/cuda/adamw8.h"
#endif

namespace pivotal::dpo {
namespace {

using kernels::ElementType;

bool IsHalf(const at::Tensor& t) {
  return t.scalar_type() == at::kBFloat16 || t.scalar_type() == at::kHalf;
}

// Returns the type of optimizer state for `t`: float32 or wider.
at::ScalarType WideType(const at::Tensor& t) { return IsHalf(t) ? at::kFloat : t.scalar_type(); }

ElementType TypeOf(const at::Tensor& t) {
  return t.scalar_type() == at::kFloat  ? ElementType::kFloat32
         : t.scalar_type() == at::kHalf ? ElementType::kFloat16
                                        : ElementType::kBfloat16;
}

bool Quantises(const OptimizerOptions& options, const at::Tensor& parameter) {
  return options.type == OptimizerType::kAdamW8Bit && parameter.dim() >= 2 &&
         parameter.numel() >= kSmallestQuantised;
}

// Makes moments that are zero. A code of the first moment that stands for zero is 127.
void MakeMoments(const OptimizerOptions& options, TrainedTensor& tensor) {
  const at::Tensor value = tensor.parameter.detach();
  if (!Quantises(options, value)) {
    tensor.first_moment = at::zeros_like(value, value.options().dtype(WideType(value)));
    tensor.second_moment = tensor.first_moment.clone();
    return;
  }
  const auto codes = value.options().dtype(at::kByte);
  tensor.first_moment = at::full(value.sizes(), 127, codes);
  tensor.second_moment = at::zeros(value.sizes(), codes);
  const int64_t blocks = (value.numel() + kernels::kMomentBlock - 1) / kernels::kMomentBlock;
  tensor.first_scale = at::zeros({blocks}, value.options().dtype(at::kFloat));
  tensor.second_scale = tensor.first_scale.clone();
}

}  // namespace

at::Tensor StochasticRound(const at::Tensor& x, uint64_t seed) {
  if (x.scalar_type() != at::kFloat) Fail("stochastic rounding needs a float32 tensor");
  at::Generator generator = at::globalContext().defaultGenerator(x.device()).clone();
  generator.set_current_seed(seed);
  // A bfloat16 is the upper 16 bits of a float32. Random noise in the lower 16 bits carries into
  // the upper ones with probability (lower bits) / 2^16, the fraction of the way to the next
  // bfloat16.
  const at::Tensor noise =
      at::randint(0, 1 << 16, x.sizes(), generator, x.options().dtype(at::kInt));
  const at::Tensor bits = x.view(at::kInt).add(noise).bitwise_and_(at::Scalar(-(1 << 16)));
  return bits.view(at::kFloat).to(at::kBFloat16);
}

std::vector<std::size_t> Runs(std::span<const int64_t> elements, int64_t limit) {
  std::vector<std::size_t> runs;
  int64_t sum = 0;
  for (int64_t count : elements) {
    if (runs.empty() || sum + count > limit) {
      runs.push_back(0);
      sum = 0;
    }
    ++runs.back();
    sum += count;
  }
  return runs;
}

std::vector<std::pair<std::string, at::Tensor>> TrainedTensor::State() const {
  std::vector<std::pair<std::string, at::Tensor>> state = {
      {"first_moment." + name, first_moment}, {"second_moment." + name, second_moment}};
  if (IsQuantised()) {
    state.emplace_back("first_scale." + name, first_scale);
    state.emplace_back("second_scale." + name, second_scale);
  }
  if (IsHalf(parameter) && master.defined()) state.emplace_back("master." + name, master);
  return state;
}

void MakeState(const OptimizerOptions& options, TrainedTensor& tensor) {
  const at::Tensor value = tensor.parameter.detach();
  const auto type = value.scalar_type();
  if (options.half_update == HalfUpdate::kStochastic && type == at::kHalf)
    Fail("stochastic rounding needs bfloat16 weights; {} is {}", tensor.name, c10::toString(type));
  if (options.type == OptimizerType::kAdamW8Bit && type == at::kDouble)
    Fail("8-bit moments need weights of 32 or 16 bits; {} is {}", tensor.name, c10::toString(type));
  MakeMoments(options, tensor);
  if (!IsHalf(value)) {
    tensor.master = value;
  } else if (options.half_update == HalfUpdate::kMaster) {
    tensor.master = value.to(at::kFloat);
  }
}

std::vector<std::pair<std::string, at::Tensor>> EmptyState(const OptimizerOptions& options,
                                                           const TrainedTensor& tensor) {
  TrainedTensor own = tensor;
  own.parameter = Shape(tensor.parameter);
  MakeState(options, own);
  return own.State();
}

uint64_t AdamWStep::RoundingSeed(int64_t step, std::size_t id) const {
  return kernels::MixStream(kernels::MixStream(options_.rounding_seed, static_cast<uint64_t>(step)),
                            id);
}

void AdamWStep::Update(std::span<TrainedTensor* const> tensors, std::span<const std::size_t> ids,
                       const Change& change) {
  if (!tensors[0]->IsQuantised()) return UpdateByLibTorch(tensors, ids, change);
  const at::Tensor clip = change.clip.defined() ? change.clip.to(at::kFloat) : at::Tensor();
  for (std::size_t k = 0; k < tensors.size(); ++k)
    UpdateQuantised(*tensors[k], RoundingSeed(change.step, ids[k]), change,
                    clip.defined() && clip.dim() == 1 ? clip[static_cast<int64_t>(k)] : clip);
}

void AdamWStep::UpdateByLibTorch(std::span<TrainedTensor* const> tensors,
                                 std::span<const std::size_t> ids, const Change& change) {
  const at::ScalarType type = tensors[0]->first_moment.scalar_type();
  std::vector<at::Tensor> masters, gradients, first, second;
  for (TrainedTensor* tensor : tensors) {
    const at::Tensor gradient = tensor->parameter.grad();
    gradients.push_back(gradient.defined() ? gradient.to(type)
                                           : at::zeros_like(tensor->first_moment));
    tensor->parameter.mutable_grad().reset();
    masters.push_back(tensor->master.defined() ? tensor->master : tensor->parameter.to(at::kFloat));
    first.push_back(tensor->first_moment);
    second.push_back(tensor->second_moment);
  }
  if (change.clip.defined() && change.clip.dim() == 0) {
    at::_foreach_mul_(gradients, change.clip.to(type));
  } else if (change.clip.defined()) {
    at::_foreach_mul_(gradients, change.clip.to(type).unbind());
  }
  at::_fused_adamw_(masters, gradients, first, second, {},
                    std::vector(tensors.size(), change.step_tensor), change.learning_rate,
                    options_.beta1, options_.beta2, tensors[0]->weight_decay, options_.epsilon,
                    /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/{},
                    /*found_inf=*/change.nothing);
  // What has not changed is rounded to what it was.
  if (!tensors[0]->master.defined()) {
    for (std::size_t k = 0; k < tensors.size(); ++k)
      tensors[k]->parameter.copy_(StochasticRound(masters[k], RoundingSeed(change.step, ids[k])));
  } else if (IsHalf(tensors[0]->parameter)) {
    std::vector<at::Tensor> parameters;
    for (TrainedTensor* tensor : tensors) parameters.push_back(tensor->parameter);
    at::_foreach_copy_(parameters, masters);
  }
}

void AdamWStep::UpdateQuantised(TrainedTensor& tensor, uint64_t seed, const Change& change,
                                const at::Tensor& clip) {
  const at::Tensor& parameter = tensor.parameter;
  at::Tensor gradient = parameter.grad();
  if (gradient.defined()) gradient = gradient.contiguous();
  kernels::AdamW8Task task;
  task.size = parameter.numel();
  task.type = TypeOf(parameter);
  task.parameter = parameter.data_ptr();
  if (IsHalf(parameter) && tensor.master.defined()) task.master = tensor.master.data_ptr<float>();
  if (gradient.defined()) {
    task.gradient_type = TypeOf(gradient);
    task.gradient = gradient.const_data_ptr();
  }
  task.first = tensor.first_moment.data_ptr<uint8_t>();
  task.second = tensor.second_moment.data_ptr<uint8_t>();
  task.first_scale = tensor.first_scale.data_ptr<float>();
  task.second_scale = tensor.second_scale.data_ptr<float>();
  task.learning_rate = static_cast<float>(change.learning_rate);
  task.beta1 = static_cast<float>(options_.beta1);
  task.beta2 = static_cast<float>(options_.beta2);
  task.epsilon = static_cast<float>(options_.epsilon);
  task.weight_decay = static_cast<float>(tensor.weight_decay);
  const auto step = static_cast<double>(change.step);
  task.correction1 = static_cast<float>(1 - std::pow(options_.beta1, step));
  task.correction2 = static_cast<float>(1 - std::pow(options_.beta2, step));
  if (clip.defined()) task.clip = clip.const_data_ptr<float>();
  if (change.nothing.defined()) task.skip = change.nothing.const_data_ptr<float>();
  task.stochastic = !tensor.master.defined();
  task.seed = seed;
  if (parameter.is_cpu()) {
    if (!team_) team_.emplace(at::get_num_threads());
    task.tables = &kernels::MomentTablesOnCpu();
    team_->Run([&](int rank) {
      const auto [first, last] = kernels::PartOf(task.Blocks(), rank, team_->size());
      kernels::Kernels().adamw8(task, first, last);
    });
  } else {
#ifdef PIVOTAL_CUDA_DECODER
    if (!tables_.defined()) {
      const at::Tensor host = at::empty({sizeof(kernels::MomentTables)}, at::kByte);
      std::memcpy(host.data_ptr(), &kernels::MomentTablesOnCpu(), sizeof(kernels::MomentTables));
      tables_ = host.to(parameter.device());
    }
    task.tables = static_cast<const kernels::MomentTables*>(tables_.const_data_ptr());
    kernels::cuda::LaunchAdamW8(
        task, c10::cuda::getCurrentCUDAStream(parameter.device().index()).stream());
#else
    Fail("this build has no kernels for {}; --optimizer adamw8bit needs the CPU here",
         parameter.device().str());
#endif
  }
  parameter.mutable_grad().reset();
}

}  // namespace pivotal::dpo
