// Apache-2.0. The AdamW optimizer with gradient clipping, sharded over ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dpo/gradient_exchange.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"
#include "pivotal/training.h"

namespace pivotal::dpo {

// Return all names ("master", "stochastic"), the name of a value, and the value of a name.
// ParseHalfUpdate throws Error that lists the names.
std::vector<std::string> HalfUpdateNames();
std::string_view HalfUpdateName(HalfUpdate update);
HalfUpdate ParseHalfUpdate(const std::string& name);

// Rounds `x` (float32) to bfloat16 at random: each element becomes one of its two neighbours, with
// probabilities that make the expectation exact (arXiv 2010.06192). The random bits are a pure
// function of seed, shape and device type. Throws Error for another type.
at::Tensor StochasticRound(const at::Tensor& x, uint64_t seed);

// Cuts tensors of so many elements into runs of consecutive ones: a run has at most `limit`
// elements in all, or is a single larger tensor. Returns the number of tensors of each run.
std::vector<std::size_t> Runs(std::span<const int64_t> elements, int64_t limit);

// Updates the trainable tensors of a model (PhiModel::Trainable) by AdamW (Loshchilov and Hutter,
// arXiv 1711.05101), with LibTorch's fused operator. The tensors require gradients during the life
// of this object. 16-bit weights have moments in float32, and their gradients are widened a few
// tensors at a time (kWideElements). The constructor throws Error for kStochastic on float16
// weights.
//
// Several ranks divide the optimizer state as in ZeRO-1 (arXiv 1910.02054): each rank keeps the
// moments and float32 copies of the tensors that PlanBuckets() assigns to it, updates these tensors
// and broadcasts them. All ranks must make the same calls.
class AdamW {
 public:
  AdamW(const model::PhiModel& model, const OptimizerOptions& options, Ranks& ranks = Alone());
  ~AdamW();
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  // Announces the last backward pass of the step; its gradients are sent to other ranks during the
  // pass. A rank that has no backward pass in this step does not call this.
  void BeginExchange() { exchange_->Begin(); }
  // Applies the accumulated gradients, summed over ranks, at `factor` times the peak learning rate,
  // then clears them. Returns, on all ranks, the norm of the gradients before clipping. If the norm
  // is not finite, weights and state stay as they are.
  double Step(double factor);
  // Does the same with numbers of this rank, `values` [passes, n] (float64) on the weights' device
  // or undefined, whose first column has losses. If a loss of any rank is not finite, the norm is
  // not either. Puts a copy on the CPU into `values`. The program waits for a GPU once, and not for
  // the update itself.
  double Step(double factor, at::Tensor& values);

  // Returns moments and float32 copies by name, e.g. "first_moment.lm_head.weight",
  // "master.lm_head.weight": the complete state on rank 0, the own part on other ranks. All ranks
  // must call it. Tensors that this rank owns are not copied; the next step changes them.
  std::map<std::string, at::Tensor> State() const;
  // Continues after `steps` steps from `state`, a complete State() that may come from another
  // number of ranks. Throws Error if a tensor is missing or has another shape.
  void Restore(const std::map<std::string, at::Tensor>& state, int64_t steps);

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    int owner = 0;
    double weight_decay = 0;
    // These tensors are undefined on ranks other than the owner.
    at::Tensor master;  // the parameter itself, or its float32 copy; kStochastic: undefined
    at::Tensor first_moment, second_moment;
  };
  // Calls f(name, tensor) for each tensor of State() that belongs to `slot`.
  template <typename F>
  void ForState(const Slot& slot, F f) const;
  bool Owns(const Slot& slot) const { return slot.owner == ranks_.rank(); }
  void MakeState(Slot& slot) const;
  void CountSteps(int64_t steps);
  at::Tensor GradNorm(const at::Tensor& values) const;
  // A call of the fused operator: the learning rate, the factor that clips gradients (a scalar of
  // the moments' type; undefined: none), and whether to change nothing (1, else 0; float32).
  struct Change {
    double learning_rate;
    at::Tensor clip, nothing;
  };
  void Update(std::span<const std::size_t> slots, const Change& change);

  OptimizerOptions options_;
  Ranks& ranks_;
  std::vector<Slot> slots_;  // one for each trainable tensor, sorted by name
  // Indices of slots, of one type and weight decay each.
  std::vector<std::vector<std::size_t>> groups_;
  std::unique_ptr<GradientExchange> exchange_;
  at::Tensor step_;  // steps_ as a tensor, for the fused operator
  int64_t steps_ = 0;
};

}  // namespace pivotal::dpo
