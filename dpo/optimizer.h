// Apache-2.0. AdamW with clipping.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/phi_model.h"

namespace pivotal::dpo {

// How an update reaches 16-bit weights, most of whose updates are smaller than their spacing.
enum class HalfUpdate {
  kMaster,      // float32 copies of the weights are trained, and rounded after each step
  kStochastic,  // bfloat16 alone, rounded up or down at random: no copies
};

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
class AdamW {
 public:
  AdamW(const model::PhiModel& model, const OptimizerOptions& options);
  ~AdamW();
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  // Applies the accumulated gradients at `factor` times the peak learning rate, then clears them.
  // Returns their norm before clipping. If that is not finite, nothing is changed.
  double Step(double factor);

  // Moments and float32 copies by name, e.g. "first_moment.lm_head.weight", "master.lm_head.weight":
  // handles, which the next step changes.
  std::map<std::string, at::Tensor> State() const;
  // Goes on after `steps` steps with tensors of State(). Throws Error if one is missing or of another
  // shape.
  void Restore(const std::map<std::string, at::Tensor>& state, int64_t steps);

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter;
    at::Tensor master;  // what is updated: the parameter itself, its float32 copy, or none is kept
    at::Tensor first_moment, second_moment;
    double weight_decay;
  };
  void Update(Slot& slot, const at::Tensor& gradient, double learning_rate, uint64_t rounding_seed);

  OptimizerOptions options_;
  std::vector<Slot> slots_;  // in the order of the names
  at::Tensor step_;          // of all slots
  int64_t steps_ = 0;
};

}  // namespace pivotal::dpo
