// Apache-2.0. AdamW with clipping.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dpo/gradient_exchange.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"

namespace pivotal::dpo {

// How an update reaches 16-bit weights, most of whose updates are smaller than their spacing.
enum class HalfUpdate {
  kMaster,      // float32 copies of the weights are trained, and rounded after each step
  kStochastic,  // bfloat16 alone, rounded up or down at random: no copies
};

// "master", "stochastic"
std::vector<std::string> HalfUpdateNames();
std::string_view HalfUpdateName(HalfUpdate update);
HalfUpdate ParseHalfUpdate(const std::string& name);  // throws Error that lists the names

struct OptimizerOptions {
  double learning_rate = 1e-5;  // the peak
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.0;    // on matrices; norms are never decayed
  double max_grad_norm = 1.0;   // 0: no clipping
  HalfUpdate half_update = HalfUpdate::kMaster;
  uint64_t rounding_seed = 1;   // kStochastic
};

// AdamW (Loshchilov and Hutter, arXiv 1711.05101) through LibTorch's fused operator, on what the model
// trains (PhiModel::Trainable): asks for its gradients on construction and clears that on
// destruction. 16-bit weights have moments in float32, and their gradients are widened one tensor at a
// time. Throws Error for kStochastic on float16 weights.
//
// Several ranks share the work as in ZeRO-1 (arXiv 1910.02054): each keeps moments and float32 copies of
// the tensors that PlanBuckets() gives it, updates these and hands them to the others. All ranks make the
// same calls.
class AdamW {
 public:
  AdamW(const model::PhiModel& model, const OptimizerOptions& options, Ranks& ranks = Alone());
  ~AdamW();
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  // The next backward pass is the step's last: its gradients start on their way to other ranks while it
  // goes on. A rank without one leaves this out.
  void BeginExchange() { exchange_->Begin(); }
  // Applies the accumulated gradients, summed over ranks, at `factor` times the peak learning rate, then
  // clears them. Returns their norm before clipping, on all ranks. If that is not finite, nothing is
  // changed.
  double Step(double factor);

  // Moments and float32 copies by name, e.g. "first_moment.lm_head.weight", "master.lm_head.weight": all
  // of them on rank 0, what they own on other ranks, where all must ask. Those that this rank owns are
  // handles, which the next step changes.
  std::map<std::string, at::Tensor> State() const;
  // Goes on after `steps` steps with tensors of rank 0's State(), of any number of ranks. Throws Error if
  // one is missing or of another shape.
  void Restore(const std::map<std::string, at::Tensor>& state, int64_t steps);

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    int owner = 0;
    double weight_decay = 0;
    // Undefined but on the owner.
    at::Tensor master;  // what is updated: the parameter itself, its float32 copy, or none is kept
    at::Tensor first_moment, second_moment;
  };
  // f(name in State(), tensor) for all that a slot keeps on its owner.
  template <typename F>
  void ForState(const Slot& slot, F f) const;
  bool Owns(const Slot& slot) const { return slot.owner == ranks_.rank(); }
  void MakeState(Slot& slot) const;
  void CountSteps(int64_t steps);
  double GradNorm() const;
  void Update(Slot& slot, const at::Tensor& gradient, double learning_rate, uint64_t rounding_seed);

  OptimizerOptions options_;
  Ranks& ranks_;
  std::vector<Slot> slots_;  // in the order of the names
  std::unique_ptr<GradientExchange> exchange_;
  at::Tensor step_;          // of all slots
  int64_t steps_ = 0;
};

}  // namespace pivotal::dpo
