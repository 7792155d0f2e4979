// Apache-2.0. A reference model that follows the policy (TR-DPO, arXiv 2404.09656).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "model/phi_model.h"

namespace pivotal::dpo {

// A second copy of the tensors that training changes (PhiModel::Trainable), in their own types. All
// other weights are the policy's own. After every `every` steps each tensor of the reference
// becomes mixup * policy + (1 - mixup) * reference. Of an adapter the matrices A and B are mixed.
//
// All ranks hold the whole reference and need no exchange for it: their policies are equal.
class FollowingReference {
 public:
  // `policy` must outlive this object. `mixup` is in (0, 1], `every` at least 1. Copies nothing
  // yet.
  FollowingReference(const model::PhiModel& policy, double mixup, int64_t every);

  // Copies the policy's tensors as they are now. An adapter begins without effect, so that the
  // reference begins as the model without it. Call it once the policy has its adapter.
  void Begin();
  // Returns the reference; Begin() must have been called. Its weights need no gradients.
  const model::PhiModel& model() const { return *model_; }
  // Mixes if `step` is a multiple of `every`.
  void AfterStep(int64_t step);

  // Returns the tensors by name, e.g. "lm_head.weight". They are not copied; AfterStep() changes
  // them.
  std::map<std::string, at::Tensor> State() const { return tensors_; }
  // Replaces the tensors by a State(). Throws Error if one is missing or has another shape.
  void Restore(const std::map<std::string, at::Tensor>& state);

 private:
  const model::PhiModel& policy_;
  double mixup_;
  int64_t every_;
  std::unique_ptr<model::PhiModel> model_;
  model::ParameterMap tensors_;
};

}  // namespace pivotal::dpo
