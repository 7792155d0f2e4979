// Apache-2.0.
#include "dpo/gradient_exchange.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>

#include "data/error.h"

namespace pivotal::dpo {
namespace {

constexpr int64_t kStop = std::numeric_limits<int64_t>::max();

// All of a bucket's gradients in a row, for one message.
at::Tensor Flat(const std::vector<at::Tensor>& tensors, int64_t elements) {
  const at::Tensor& first = tensors.front();
  const at::ScalarType type = c10::promoteTypes(first.scalar_type(), at::kFloat);
  if (tensors.size() == 1 && first.grad().defined() && first.grad().scalar_type() == type &&
      first.grad().is_contiguous())
    return first.grad().view({-1});
  at::Tensor flat = at::empty({elements}, first.options().dtype(type).requires_grad(false));
  int64_t offset = 0;
  for (const at::Tensor& tensor : tensors) {
    at::Tensor place = flat.narrow(0, offset, tensor.numel());
    if (tensor.grad().defined()) {
      place.view(tensor.sizes()).copy_(tensor.grad());
    } else {
      place.zero_();
    }
    offset += tensor.numel();
  }
  return flat;
}

}  // namespace

GradientExchange::GradientExchange(const model::ParameterMap& trainable,
                                   const std::vector<Bucket>& buckets, Ranks& ranks)
    : ranks_(ranks) {
  if (ranks.size() == 1) return;
  for (const Bucket& bucket : buckets) {
    const auto index = static_cast<int64_t>(shipments_.size());
    Shipment& shipment = shipments_.emplace_back();
    shipment.elements = bucket.elements;
    shipment.last_part = bucket.last_part;
    shipment.owner = bucket.owner;
    for (const std::string& name : bucket.names) {
      const at::Tensor& tensor = shipment.tensors.emplace_back(trainable.at(name));
      const auto hook = [this, index, part = PartOf(name)](const at::Tensor&) { OnGradient(index, part); };
      hooks_.emplace_back(tensor, tensor.register_hook(hook));
    }
  }
}

GradientExchange::~GradientExchange() {
  for (const auto& [tensor, hook] : hooks_) tensor.remove_hook(hook);
  if (!sending_.valid()) return;  // else the work has failed in the middle of a step
  complete_ = kStop;
  complete_.notify_one();
  sending_.wait();
}

void GradientExchange::OnGradient(int64_t bucket, int part) {
  if (!sending_.valid()) return;
  const int64_t complete = complete_;
  if (bucket < complete) Fail("a gradient came after its bucket was sent: two passes through the layers");
  if (part == kEmbeddingPart) return;  // perhaps as the output's weights, before any layer
  const auto open = std::ranges::find_if(
      shipments_, [&](const Shipment& shipment) { return shipment.last_part <= part; });
  if (const int64_t now = open - shipments_.begin(); now > complete) {
    complete_ = now;
    complete_.notify_one();
  }
}

void GradientExchange::Begin() {
  if (shipments_.empty()) return;
  complete_ = 0;
  sending_ = std::async(std::launch::async, [this] { SendAll(); });
}

void GradientExchange::Finish() {
  if (shipments_.empty()) return;
  if (!sending_.valid()) Begin();  // no backward pass here in this step
  complete_ = static_cast<int64_t>(shipments_.size());
  complete_.notify_one();
  sending_.get();
  ranks_.Wait();
}

void GradientExchange::SendAll() {
  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < shipments_.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    int64_t complete = complete_;
    for (; complete <= index; complete = complete_) complete_.wait(complete);
    if (complete == kStop) return;
    Send(shipments_[i]);
  }
}

void GradientExchange::Send(const Shipment& shipment) {
  const at::Tensor flat = Flat(shipment.tensors, shipment.elements);
  ranks_.Reduce(flat, shipment.owner);
  int64_t offset = 0;
  for (at::Tensor tensor : shipment.tensors) {
    if (shipment.owner == ranks_.rank()) {
      tensor.mutable_grad() = flat.narrow(0, offset, tensor.numel()).view(tensor.sizes());
    } else {
      tensor.mutable_grad().reset();
    }
    offset += tensor.numel();
  }
}

}  // namespace pivotal::dpo
