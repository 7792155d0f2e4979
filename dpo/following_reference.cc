// Apache-2.0.
#include "dpo/following_reference.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include "data/base/error.h"
#include "model/lora.h"

namespace pivotal::dpo {
namespace {

at::Tensor Copy(const at::Tensor& tensor) { return tensor.detach().clone(); }

// Replaces `reference` by mixup * policy + (1 - mixup) * reference, rounded once.
void Mix(const at::Tensor& reference, const at::Tensor& policy, double mixup) {
  const at::ScalarType type = reference.scalar_type();
  if (type == at::kFloat || type == at::kDouble) {
    reference.mul_(1 - mixup).add_(policy, mixup);
  } else {
    reference.copy_(reference.to(at::kFloat).mul_(1 - mixup).add_(policy.to(at::kFloat), mixup));
  }
}

}  // namespace

FollowingReference::FollowingReference(const model::PhiModel& policy, double mixup, int64_t every)
    : policy_(policy), mixup_(mixup), every_(every) {}

void FollowingReference::Begin() {
  const c10::NoGradGuard no_grad;
  model::ParameterMap parameters = policy_.parameters();
  const auto adapter = policy_.adapter();
  if (adapter == nullptr)
    for (const auto& [name, tensor] : policy_.Trainable()) parameters[name] = Copy(tensor);
  model_ = std::make_unique<model::PhiModel>(policy_.config(), parameters, "reference");
  if (adapter != nullptr) {
    const auto copy = std::make_shared<model::Adapter>(*adapter);
    for (auto& [layer, update] : copy->updates) {
      update.a = Copy(update.a);
      update.b = Copy(update.b).zero_();
    }
    model_->set_adapter(copy);
    tensors_ = model_->Trainable();
  } else {
    for (const auto& [name, tensor] : policy_.Trainable()) tensors_[name] = parameters.at(name);
  }
}

void FollowingReference::AfterStep(int64_t step) {
  if (step % every_ != 0) return;
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : policy_.Trainable()) Mix(tensors_.at(name), tensor, mixup_);
}

void FollowingReference::Restore(const std::map<std::string, at::Tensor>& state) {
  const c10::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors_) {
    const auto it = state.find(name);
    if (it == state.end() || it->second.sizes() != tensor.sizes())
      Fail("the saved reference belongs to other weights: {} is missing or has another shape",
           name);
    tensor.copy_(it->second);
  }
}

}  // namespace pivotal::dpo
