// Apache-2.0. The AdamW optimizer with gradient clipping, sharded over ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dpo/adamw_step.h"
#include "dpo/gradient_exchange.h"
#include "dpo/owned_tensors.h"
#include "dpo/ranks.h"
#include "dpo/sharded_weights.h"
#include "model/phi_model.h"
#include "pivotal/training.h"

namespace pivotal::dpo {

// Return all names ("master", "stochastic"), the name of a value, and the value of a name. The
// functions Parse... throw Error that lists the names.
std::vector<std::string> HalfUpdateNames();
std::string_view HalfUpdateName(HalfUpdate update);
HalfUpdate ParseHalfUpdate(const std::string& name);
// The same for "adamw", "adamw8bit".
std::vector<std::string> OptimizerTypeNames();
std::string_view OptimizerTypeName(OptimizerType type);
OptimizerType ParseOptimizerType(const std::string& name);
// The same for "global", "tensor", "previous".
std::vector<std::string> ClipByNames();
std::string_view ClipByName(ClipBy by);
ClipBy ParseClipBy(const std::string& name);

// Updates the trainable tensors of a model (PhiModel::Trainable) by AdamW (Loshchilov and Hutter,
// arXiv 1711.05101). The tensors require gradients during the life of this object. 16-bit weights
// have float32 moments, or moments in 8 bits; float32 gradients of such weights exist for a few
// tensors at a time (kWideElements). The constructor throws Error for options that do not fit the
// weights' type or the number of ranks.
//
// Several ranks divide the optimizer state as in ZeRO-1 (arXiv 1910.02054): each rank keeps the
// moments and float32 copies of the tensors that PlanBuckets() assigns to it, updates these tensors
// and broadcasts them. All ranks must make the same calls. If the weights are sharded
// (ShardedWeights), a rank updates those that it owns, and nothing is broadcast.
//
// With OptimizerOptions::fused_backward, the tensors of a layer are updated when the backward pass
// reaches a lower layer, and their gradients freed: those of one layer exist at a time.
class AdamW {
 public:
  AdamW(const model::PhiModel& model, const OptimizerOptions& options, Ranks& ranks = Alone());
  ~AdamW();
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  // Announces the last backward pass of the step, that of `loss`, and `factor`, as Step() takes it.
  // During the pass gradients are sent to other ranks, or tensors are updated (fused_backward). A
  // rank that has no backward pass in this step does not call this.
  void BeginBackward(double factor, const at::Tensor& loss);
  // Applies the accumulated gradients, summed over ranks, at `factor` times the peak learning rate,
  // then clears them. Returns, on all ranks, the norm of the gradients before clipping. If the norm
  // is not finite, weights and state stay as they are. With fused_backward, gradients that were
  // complete before one that is not finite have been applied: training can go on from a checkpoint
  // only. If the loss is not finite nothing changes.
  double Step(double factor);
  // Does the same with numbers of this rank, `values` [passes, n] (float64) on the weights' device
  // or undefined, whose first column has losses. If a loss of any rank is not finite, the norm is
  // not either. Puts a copy on the CPU into `values`. The program waits for a GPU once, and not for
  // the update itself.
  double Step(double factor, at::Tensor& values);

  // Returns moments and float32 copies by name, e.g. "first_moment.lm_head.weight",
  // "master.lm_head.weight". Tensors that this rank owns are not copied; the next step changes
  // them.
  OwnedTensors State() const;
  // Continues after `steps` steps from `state`, the tensors of a State() that may come from another
  // number of ranks; this rank reads those that it owns. Throws Error if one of these is missing or
  // has another shape or type.
  void Restore(const std::map<std::string, at::Tensor>& state, int64_t steps);

 private:
  // Indices of tensors of one type, weight decay and kind of moments each.
  using Groups = std::vector<std::vector<std::size_t>>;
  // The tensors of a layer (LayerOf), which fused_backward updates together.
  struct Layer {
    int layer;
    Groups groups;
  };
  bool Owns(std::size_t tensor) const { return owners_[tensor] == ranks_.rank(); }
  Groups GroupsOf(std::span<const std::size_t> tensors) const;
  void PrepareLayers();
  void CountSteps(int64_t steps);
  // Sets and returns the norms [n] (float32) of the gradients of tensors; 0 without a gradient.
  at::Tensor TakeNorms(std::span<const std::size_t> group);
  // Returns the norm of all gradients, from norms_ of all ranks. It is not a number if a loss in
  // `values` is not finite.
  at::Tensor GradNorm(const at::Tensor& values) const;
  // Returns the factors of gradients whose norms are `norms`: one for all, or one each [n];
  // undefined if all are 1. `all`: the norm of all gradients, for ClipBy::kGlobal.
  at::Tensor Clip(const at::Tensor& norms, const at::Tensor& all) const;
  void Update(std::span<const std::size_t> group, AdamWStep::Change change);
  void BeginFused(double factor);
  // Autograd calls this before it adds a gradient to a tensor of `layer`: layers above are updated.
  void OnGradient(std::size_t index, int layer);
  void UpdateLayer(const Layer& layer);

  OptimizerOptions options_;
  Ranks& ranks_;
  std::vector<TrainedTensor> tensors_;  // sorted by name
  std::vector<int> owners_;             // rank that keeps the state, by tensor
  Groups groups_;                       // own tensors
  ShardedWeights* shards_;              // null: each rank has all weights
  bool trains_shards_;                  // whether what is trained is sharded
  std::unique_ptr<GradientExchange> exchange_;
  AdamWStep step_;
  at::Tensor step_count_;  // steps_ as a tensor on the device
  int64_t steps_ = 0;
  std::vector<at::Tensor> norms_;  // of gradients in this step, scalars (float32), by tensor
  double previous_norm_ = -1;      // of the step before, before clipping; -1: there was none

  // Of fused_backward.
  std::vector<Layer> layers_;  // in the order of the backward pass
  std::vector<std::pair<at::Tensor, unsigned>> hooks_;
  bool in_step_ = false;
  std::size_t updated_ = 0;  // layers that have been updated in this step
  double factor_ = 0;        // of this step
  at::Tensor nothing_;       // 1 once something is not finite, else 0
};

}  // namespace pivotal::dpo
