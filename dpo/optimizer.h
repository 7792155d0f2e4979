// Apache-2.0. AdamW with clipping.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/phi_model.h"

namespace pivotal::dpo {

struct OptimizerOptions {
  double learning_rate = 1e-5;  // the peak
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.0;    // on matrices; norms are never decayed
  double max_grad_norm = 1.0;   // 0: no clipping
};

// AdamW (Loshchilov and Hutter, arXiv 1711.05101) through LibTorch's fused operator. Asks for the
// model's gradients on construction and clears that on destruction.
class AdamW {
 public:
  AdamW(const model::PhiModel& model, const OptimizerOptions& options);
  ~AdamW();
  AdamW(const AdamW&) = delete;
  AdamW& operator=(const AdamW&) = delete;

  // Applies the accumulated gradients at `factor` times the peak learning rate, then clears them.
  // Returns their norm before clipping. If that is not finite, nothing is changed.
  double Step(double factor);

 private:
  struct Group {
    double weight_decay = 0;
    std::vector<at::Tensor> parameters, first_moments, second_moments, steps;
  };
  std::vector<at::Tensor> Gradients(const Group& group) const;

  OptimizerOptions options_;
  Group decayed_, plain_;
};

}  // namespace pivotal::dpo
