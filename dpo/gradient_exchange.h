// Apache-2.0. Gradient exchange: sums gradients over ranks, in buckets, during the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dpo/courier.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"

namespace pivotal::dpo {

// Returns the layer index of a weight. The embedding counts as the layer before layer 0, and
// weights after the last layer (final norm, output matrix) as the layer kHeadLayer. The backward
// pass visits layers from kHeadLayer down to kEmbeddingLayer. All gradients of a layer are final
// once it visits a lower layer; those of the embedding, which may be tied to the output matrix,
// when it ends.
constexpr int kEmbeddingLayer = -1;
constexpr int kHeadLayer = 1 << 30;
int LayerOf(const std::string& weight);

// Describes weights whose gradients are sent in one message, and the rank that sums them.
struct Bucket {
  std::vector<std::string> names;
  int64_t elements = 0;           // number of elements of all these weights
  int lowest_layer = kHeadLayer;  // smallest LayerOf() among these weights
  int owner = 0;                  // the rank that sums the gradients and keeps the optimizer state
};

constexpr int64_t kBucketElements = 6'500'000;  // 26 MB of float32

// Divides `trainable` into buckets, in the order of the backward pass. A bucket has at most `limit`
// elements, or is a single larger tensor. Buckets are small enough to give each of `ranks` owners
// about the same number of elements.
std::vector<Bucket> PlanBuckets(const model::ParameterMap& trainable, int ranks,
                                int64_t limit = kBucketElements);

// Divides all weights into buckets of one layer each: a matrix alone, vectors together. Each rank
// owns about the same number of elements, of a layer's as of all.
std::vector<Bucket> PlanShards(const model::ParameterMap& weights, int ranks);

// Sends the gradients of a model's trainable tensors to the owners of their buckets. A weight may
// accumulate its gradient in several pieces (tied weights, recomputed layers, chunks of the
// vocabulary). A bucket is therefore sent only when the backward pass has reached a lower layer, or
// has ended. The tensors must require gradients during the life of this object.
class GradientExchange {
 public:
  // With `courier`, which makes other transfers too, Reached() tells how far the backward pass is;
  // without, the pass itself does.
  GradientExchange(const model::ParameterMap& trainable, const std::vector<Bucket>& buckets,
                   Ranks& ranks, Courier* courier = nullptr);
  ~GradientExchange();
  GradientExchange(const GradientExchange&) = delete;
  GradientExchange& operator=(const GradientExchange&) = delete;

  // Announces the last backward pass before Finish(). From now on, complete buckets are sent during
  // the pass. It must go through the layers once; a second time throws Error.
  void Begin();
  // Sends the buckets that are complete once the backward pass goes below `layer`.
  void Reached(int layer);
  // Sends all remaining buckets; a gradient that this rank lacks counts as zero. Afterwards each
  // owner has the sum over ranks of its tensors' gradients, in float32 or wider, and no gradients
  // of other tensors.
  void Finish();

 private:
  // Holds the tensors of one bucket, whose gradients are sent together.
  struct Message {
    std::vector<at::Tensor> tensors;
    int64_t elements;
    int lowest_layer, owner;
  };
  // Autograd calls this before it adds a gradient to a tensor of `layer` in message `index`.
  void OnGradient(std::size_t index, int layer);
  // Sends messages up to `end`, but for those that were sent.
  void SendTo(std::size_t end);
  void Send(const Message& message);

  Ranks& ranks_;
  std::vector<Message> messages_;
  std::vector<std::pair<at::Tensor, unsigned>> hooks_;
  bool open_ = false;     // between Begin() and Finish()
  std::size_t sent_ = 0;  // the first `sent_` messages were given to the courier
  std::optional<Courier> own_courier_;
  Courier& courier_;
};

}  // namespace pivotal::dpo
