// Apache-2.0.
#include "dpo/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "data/base/error.h"
#include "data/base/names.h"
#include "model/memory.h"
#include "model/tensor_transfer.h"

namespace pivotal::dpo {
namespace {

constexpr auto kHalfUpdates = data::MakeNameTable<HalfUpdate>(
    "update of 16-bit weights",
    {{HalfUpdate::kMaster, "master"}, {HalfUpdate::kStochastic, "stochastic"}});
constexpr auto kOptimizers = data::MakeNameTable<OptimizerType>(
    "optimizer", {{OptimizerType::kAdamW, "adamw"}, {OptimizerType::kAdamW8Bit, "adamw8bit"}});
constexpr auto kClips = data::MakeNameTable<ClipBy>(
    "way to clip gradients",
    {{ClipBy::kGlobal, "global"}, {ClipBy::kTensor, "tensor"}, {ClipBy::kPrevious, "previous"}});

constexpr const char* kPreviousNorm = "previous_norm";

}  // namespace

std::vector<std::string> HalfUpdateNames() { return kHalfUpdates.Names(); }
std::string_view HalfUpdateName(HalfUpdate update) { return kHalfUpdates.Name(update); }
HalfUpdate ParseHalfUpdate(const std::string& name) { return kHalfUpdates.Parse(name); }
std::vector<std::string> OptimizerTypeNames() { return kOptimizers.Names(); }
std::string_view OptimizerTypeName(OptimizerType type) { return kOptimizers.Name(type); }
OptimizerType ParseOptimizerType(const std::string& name) { return kOptimizers.Parse(name); }
std::vector<std::string> ClipByNames() { return kClips.Names(); }
std::string_view ClipByName(ClipBy by) { return kClips.Name(by); }
ClipBy ParseClipBy(const std::string& name) { return kClips.Parse(name); }

AdamW::AdamW(const model::PhiModel& model, const OptimizerOptions& options, Ranks& ranks)
    : options_(options),
      ranks_(ranks),
      shards_(ShardsOf(model)),
      trains_shards_(shards_ != nullptr && model.adapter() == nullptr),
      step_(options),
      step_count_(at::zeros({}, model.options().dtype(at::kFloat))) {
  const model::ParameterMap trainable = model.Trainable();
  const std::vector<Bucket> buckets =
      trains_shards_ ? shards_->BucketsOf(trainable) : PlanBuckets(trainable, ranks.size());
  std::map<std::string, int> owners;
  for (const Bucket& bucket : buckets)
    for (const std::string& name : bucket.names) owners[name] = bucket.owner;
  for (const auto& [name, parameter] : trainable) {
    TrainedTensor& tensor = tensors_.emplace_back();
    tensor.name = name;
    tensor.parameter = parameter;
    tensor.parameter.requires_grad_(true);
    tensor.weight_decay = parameter.dim() >= 2 ? options.weight_decay : 0.0;
    owners_.push_back(owners.at(name));
    if (owners_.back() == ranks.rank()) MakeState(options, tensor);
  }
  std::vector<std::size_t> own;
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    if (Owns(i)) own.push_back(i);
  groups_ = GroupsOf(own);
  exchange_ = std::make_unique<GradientExchange>(
      trainable, buckets, ranks, shards_ != nullptr ? &shards_->courier() : nullptr);
  if (shards_ != nullptr)
    shards_->set_backward_pass({[this] { exchange_->Begin(); },
                                [this](int layer) { exchange_->Reached(layer); },
                                [this] { exchange_->Finish(); }});
  if (options.fused_backward) PrepareLayers();
}

AdamW::~AdamW() {
  if (shards_ != nullptr) shards_->set_backward_pass({});
  exchange_.reset();
  for (const auto& [tensor, hook] : hooks_) tensor.remove_hook(hook);
  for (TrainedTensor& tensor : tensors_) {
    tensor.parameter.mutable_grad().reset();
    tensor.parameter.requires_grad_(false);
  }
}

AdamW::Groups AdamW::GroupsOf(std::span<const std::size_t> tensors) const {
  std::map<std::tuple<at::ScalarType, double, bool>, std::vector<std::size_t>> kinds;
  for (std::size_t i : tensors)
    kinds[{tensors_[i].parameter.scalar_type(), tensors_[i].weight_decay,
           tensors_[i].IsQuantised()}]
        .push_back(i);
  Groups groups;
  for (auto& [kind, group] : kinds) groups.push_back(std::move(group));
  return groups;
}

void AdamW::PrepareLayers() {
  if (ranks_.size() > 1)
    Fail(
        "--fused-backward updates weights before the gradients of other ranks have come; use one "
        "process, or leave it out");
  std::map<int, std::vector<std::size_t>, std::greater<>> by_layer;
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    by_layer[LayerOf(tensors_[i].name)].push_back(i);
  for (const auto& [layer, tensors] : by_layer) {
    for (std::size_t i : tensors) {
      const auto hook = [this, index = layers_.size(), layer](const at::Tensor&) {
        OnGradient(index, layer);
      };
      hooks_.emplace_back(tensors_[i].parameter, tensors_[i].parameter.register_hook(hook));
    }
    layers_.push_back({layer, GroupsOf(tensors)});
  }
}

OwnedTensors AdamW::State() const {
  OwnedTensors state;
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const auto own = Owns(i) ? tensors_[i].State() : EmptyState(options_, tensors_[i]);
    for (const auto& [name, tensor] : own) {
      state.tensors[name] = tensor;
      state.owners[name] = owners_[i];
    }
  }
  if (options_.clip_by == ClipBy::kPrevious)
    state.tensors[kPreviousNorm] = at::full({1}, previous_norm_, at::TensorOptions(at::kFloat));
  return state;
}

void AdamW::Restore(const std::map<std::string, at::Tensor>& state, int64_t steps) {
  const c10::NoGradGuard no_grad;
  const auto find = [&](const std::string& name, const at::Tensor& like) -> const at::Tensor& {
    const auto it = state.find(name);
    if (it == state.end() || it->second.sizes() != like.sizes() ||
        it->second.scalar_type() != like.scalar_type())
      Fail(
          "the saved optimizer state belongs to other weights: {} is missing or has another shape "
          "or type",
          name);
    return it->second;
  };
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    if (!Owns(i)) continue;
    for (const auto& [name, tensor] : tensors_[i].State()) {
      tensor.copy_(find(name, tensor));
      model::ReleaseMapped(state.at(name));
    }
  }
  if (options_.clip_by == ClipBy::kPrevious) {
    const at::Tensor norm = at::zeros({1}, at::TensorOptions(at::kFloat));
    previous_norm_ = find(kPreviousNorm, norm).item<float>();
  }
  CountSteps(steps);
}

void AdamW::CountSteps(int64_t steps) {
  steps_ = steps;
  step_count_.fill_(steps);
}

at::Tensor AdamW::TakeNorms(std::span<const std::size_t> group) {
  std::vector<std::size_t> places;
  std::vector<at::Tensor> gradients;
  at::ScalarType type = at::kFloat;
  for (std::size_t i : group) {
    const at::Tensor& parameter = tensors_[i].parameter;
    if (!parameter.grad().defined()) continue;
    places.push_back(i);
    gradients.push_back(parameter.grad());
    if (parameter.scalar_type() == at::kDouble) type = at::kDouble;
  }
  if (!places.empty()) {
    const auto found = at::_foreach_norm(gradients, 2, type);
    for (std::size_t k = 0; k < places.size(); ++k) norms_[places[k]] = found[k].to(at::kFloat);
  }
  std::vector<at::Tensor> norms;
  for (std::size_t i : group) norms.push_back(norms_[i]);
  return at::stack(norms);
}

at::Tensor AdamW::GradNorm(const at::Tensor& values) const {
  const at::Tensor all = at::stack(norms_);
  // Zero times a loss that is not finite is not a number.
  if (values.defined()) all.select(0, 0).add_((values.select(1, 0) * 0).sum());
  ranks_.Sum(all);  // for each weight, only its owner has a norm above 0
  return at::linalg_vector_norm(all);
}

at::Tensor AdamW::Clip(const at::Tensor& norms, const at::Tensor& all) const {
  if (options_.max_grad_norm == 0) return {};
  const auto factor = [&](const at::Tensor& norm) {
    return (options_.max_grad_norm / norm.to(at::kDouble)).clamp_max(1);
  };
  at::Tensor clip;
  if (options_.clip_by == ClipBy::kGlobal) {
    clip = factor(all);
  } else if (options_.clip_by == ClipBy::kTensor || previous_norm_ < 0) {
    clip = factor(norms);
  } else {
    clip = factor(at::full({}, previous_norm_, step_count_.options()));
  }
  // A CPU has these numbers already.
  if (clip.is_cpu() && clip.min().item<double>() == 1) return {};
  return clip;
}

void AdamW::Update(std::span<const std::size_t> group, AdamWStep::Change change) {
  std::vector<int64_t> widened;
  std::vector<TrainedTensor*> tensors;
  for (std::size_t i : group) {
    tensors.push_back(&tensors_[i]);
    const auto type = tensors_[i].parameter.scalar_type();
    widened.push_back(type == at::kHalf || type == at::kBFloat16 ? tensors_[i].parameter.numel()
                                                                 : 0);
  }
  const at::Tensor clip = change.clip;
  std::size_t first = 0;
  for (std::size_t count : Runs(widened, model::kWideElements)) {
    if (clip.defined() && clip.dim() == 1)
      change.clip = clip.narrow(0, static_cast<int64_t>(first), static_cast<int64_t>(count));
    step_.Update(std::span(tensors).subspan(first, count), group.subspan(first, count), change);
    first += count;
  }
}

void AdamW::BeginBackward(double factor, const at::Tensor& loss) {
  if (shards_ != nullptr) return;  // their passes tell the exchange
  if (!options_.fused_backward) return exchange_->Begin();
  BeginFused(factor);
  if (loss.defined()) nothing_.copy_(loss.detach().isfinite().logical_not());
}

void AdamW::BeginFused(double factor) {
  factor_ = factor;
  updated_ = 0;
  in_step_ = true;
  norms_.assign(tensors_.size(), at::zeros_like(step_count_));
  nothing_ = at::zeros_like(step_count_);
  CountSteps(steps_ + 1);
}

void AdamW::OnGradient(std::size_t index, int layer) {
  if (!in_step_) return;
  if (index < updated_)
    Fail("a gradient came after its layer was updated: two passes through the layers");
  if (layer == kEmbeddingLayer) return;  // its first gradient may be that of the tied output matrix
  const c10::NoGradGuard no_grad;
  for (; updated_ < index; ++updated_) UpdateLayer(layers_[updated_]);
}

void AdamW::UpdateLayer(const Layer& layer) {
  for (const auto& group : layer.groups) {
    const at::Tensor norms = TakeNorms(group);
    nothing_.copy_(nothing_.maximum(norms.isfinite().all().logical_not().to(at::kFloat)));
    Update(group,
           {factor_ * options_.learning_rate, steps_, step_count_, Clip(norms, {}), nothing_});
    for (std::size_t i : group) tensors_[i].parameter.mutable_grad().reset();
  }
}

double AdamW::Step(double factor) {
  at::Tensor none;
  return Step(factor, none);
}

double AdamW::Step(double factor, at::Tensor& values) {
  const c10::NoGradGuard no_grad;
  if (options_.fused_backward) {
    if (!in_step_) BeginFused(factor);  // without a backward pass
    for (; updated_ < layers_.size(); ++updated_) UpdateLayer(layers_[updated_]);
    in_step_ = false;
  } else {
    if (shards_ == nullptr) exchange_->Finish();
    norms_.assign(tensors_.size(), at::zeros_like(step_count_));
    for (const auto& group : groups_) TakeNorms(group);
  }
  const at::Tensor norm = GradNorm(values), wide_norm = norm.to(at::kDouble);
  // Everything is decided on the device: it goes on with the update while the host waits for this.
  model::HostCopy numbers(values.defined() ? at::cat({wide_norm.view(1), values.flatten()})
                                           : wide_norm.view(1));
  if (!options_.fused_backward) {
    CountSteps(steps_ + 1);
    const at::Tensor nothing = norm.isfinite().logical_not().to(at::kFloat);
    for (const auto& group : groups_) {
      std::vector<at::Tensor> norms;
      for (std::size_t i : group) norms.push_back(norms_[i]);
      Update(group, {factor * options_.learning_rate, steps_, step_count_,
                     Clip(at::stack(norms), wide_norm), nothing});
    }
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      tensors_[i].parameter.mutable_grad().reset();
      if (!trains_shards_) ranks_.Broadcast(tensors_[i].parameter, owners_[i]);
    }
  }
  norms_.clear();
  const at::Tensor& read = numbers.Wait();
  if (values.defined()) values = read.slice(0, 1).view(values.sizes());
  const double result = read.const_data_ptr<double>()[0];
  if (std::isfinite(result)) {
    previous_norm_ = static_cast<float>(result);
  } else {
    CountSteps(steps_ - 1);
  }
  return result;
}

}  // namespace pivotal::dpo
