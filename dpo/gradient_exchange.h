// Apache-2.0. Sums gradients over ranks while the backward pass goes on.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <vector>

#include "dpo/bucket_plan.h"
#include "dpo/ranks.h"

namespace pivotal::dpo {

// Sends the gradients of a model's trainable tensors to the owners of their buckets. A weight may gather
// its gradient in several pieces (tied weights, layers that are computed twice, chunks of the
// vocabulary), so a bucket is complete only when the backward pass has reached a lower part of the
// model, or its end. Tensors must ask for gradients as long as it lives.
class GradientExchange {
 public:
  GradientExchange(const model::ParameterMap& trainable, const std::vector<Bucket>& buckets,
                   Ranks& ranks);
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  // The next backward pass is the last before Finish(), and goes through the layers once: complete
  // buckets are sent from here on.
  void Begin();
  // Sends what is left; a gradient that this rank doesn't have counts as zero. Afterwards each owner has
  // its tensors' gradients summed over ranks, in float32 or wider, and no other tensor has one.
  void Finish();

 private:
  struct Shipment {
    std::vector<at::Tensor> tensors;
    int64_t elements;
    int last_part, owner;
  };
  // A gradient of a tensor of bucket `bucket` and part `part` is about to be added.
  void OnGradient(int64_t bucket, int part);
  void SendAll();
  void Send(const Shipment& shipment);

  Ranks& ranks_;
  std::vector<Shipment> shipments_;
  std::vector<std::pair<at::Tensor, unsigned>> hooks_;
  std::atomic<int64_t> complete_ = 0;  // buckets that may be sent
  std::future<void> sending_;
};

}  // namespace pivotal::dpo
