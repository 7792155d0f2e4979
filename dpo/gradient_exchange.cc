// Apache-2.0.
#include "dpo/gradient_exchange.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <string_view>

#include "data/base/error.h"

namespace pivotal::dpo {
namespace {

// Assigns owners: the largest bucket first, each to the rank with the fewest elements so far, and
// among these to the one with the fewest in the same layer.
void Assign(std::vector<Bucket>& buckets, int ranks) {
  std::vector<std::size_t> order(buckets.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](std::size_t i) { return buckets[i].elements; });
  std::vector<int64_t> load(static_cast<std::size_t>(ranks));
  std::map<int, std::vector<int64_t>> load_of_layer;
  for (std::size_t i : order) {
    std::vector<int64_t>& in_layer =
        load_of_layer.try_emplace(buckets[i].lowest_layer, load.size()).first->second;
    std::size_t least = 0;
    for (std::size_t rank = 1; rank < load.size(); ++rank)
      if (std::pair(load[rank], in_layer[rank]) < std::pair(load[least], in_layer[least]))
        least = rank;
    buckets[i].owner = static_cast<int>(least);
    load[least] += buckets[i].elements;
    in_layer[least] += buckets[i].elements;
  }
}

// Concatenates the gradients of `tensors` into one tensor [elements], float32 or wider.
at::Tensor Flat(const std::vector<at::Tensor>& tensors, int64_t elements) {
  const at::Tensor& first = tensors.front();
  const at::ScalarType type = c10::promoteTypes(first.scalar_type(), at::kFloat);
  if (tensors.size() == 1 && first.grad().defined() && first.grad().scalar_type() == type &&
      first.grad().is_contiguous())
    return first.grad().view({-1});
  at::Tensor flat = at::empty({elements}, first.options().dtype(type).requires_grad(false));
  int64_t offset = 0;
  for (const at::Tensor& tensor : tensors) {
    at::Tensor target = flat.narrow(0, offset, tensor.numel());
    if (tensor.grad().defined()) {
      target.view(tensor.sizes()).copy_(tensor.grad());
    } else {
      target.zero_();
    }
    offset += tensor.numel();
  }
  return flat;
}

}  // namespace

int LayerOf(const std::string& weight) {
  if (weight.starts_with("model.embed_tokens.")) return kEmbeddingLayer;
  constexpr std::string_view kLayers = "model.layers.";
  return weight.starts_with(kLayers) ? std::stoi(weight.substr(kLayers.size())) : kHeadLayer;
}

std::vector<Bucket> PlanBuckets(const model::ParameterMap& trainable, int ranks, int64_t limit) {
  std::vector<std::string> order;
  int64_t total = 0;
  for (const auto& [name, tensor] : trainable) {
    order.push_back(name);
    total += tensor.numel();
  }
  std::ranges::stable_sort(order, std::ranges::greater(), LayerOf);
  limit = std::min(limit, total / (4 * ranks));
  std::vector<Bucket> buckets;
  for (const std::string& name : order) {
    const int64_t elements = trainable.at(name).numel();
    if (buckets.empty() || buckets.back().elements + elements > limit) buckets.emplace_back();
    Bucket& bucket = buckets.back();
    bucket.names.push_back(name);
    bucket.elements += elements;
    bucket.lowest_layer = LayerOf(name);
  }
  Assign(buckets, ranks);
  return buckets;
}

std::vector<Bucket> PlanShards(const model::ParameterMap& weights, int ranks) {
  std::map<int, std::vector<Bucket>, std::greater<>> by_layer;
  for (const auto& [name, tensor] : weights) {
    std::vector<Bucket>& buckets = by_layer[LayerOf(name)];
    if (buckets.empty()) buckets.emplace_back();  // of vectors
    Bucket& bucket = tensor.dim() < 2 ? buckets.front() : buckets.emplace_back();
    bucket.names.push_back(name);
    bucket.elements += tensor.numel();
  }
  std::vector<Bucket> plan;
  for (auto& [layer, buckets] : by_layer) {
    for (Bucket& bucket : buckets) {
      bucket.lowest_layer = layer;
      if (!bucket.names.empty()) plan.push_back(std::move(bucket));
    }
  }
  Assign(plan, ranks);
  return plan;
}

GradientExchange::GradientExchange(const model::ParameterMap& trainable,
                                   const std::vector<Bucket>& buckets, Ranks& ranks,
                                   Courier* courier)
    : ranks_(ranks), courier_(courier != nullptr ? *courier : own_courier_.emplace()) {
  if (ranks.size() == 1) return;
  for (const Bucket& bucket : buckets) {
    const std::size_t index = messages_.size();
    Message& message = messages_.emplace_back();
    message.elements = bucket.elements;
    message.lowest_layer = bucket.lowest_layer;
    message.owner = bucket.owner;
    for (const std::string& name : bucket.names) {
      const at::Tensor& tensor = message.tensors.emplace_back(trainable.at(name));
      if (courier != nullptr) continue;
      const auto hook = [this, index, layer = LayerOf(name)](const at::Tensor&) {
        OnGradient(index, layer);
      };
      hooks_.emplace_back(tensor, tensor.register_hook(hook));
    }
  }
}

GradientExchange::~GradientExchange() {
  for (const auto& [tensor, hook] : hooks_) tensor.remove_hook(hook);
}

void GradientExchange::OnGradient(std::size_t index, int layer) {
  if (!open_) return;
  if (index < sent_)
    Fail("a gradient came after its bucket was sent: two passes through the layers");
  if (layer == kEmbeddingLayer) return;  // its first gradient may be that of the tied output matrix
  Reached(layer + 1);
}

void GradientExchange::Begin() {
  open_ = true;
  sent_ = 0;
}

void GradientExchange::Reached(int layer) {
  const auto open = std::ranges::find_if(
      messages_, [&](const Message& message) { return message.lowest_layer < layer; });
  SendTo(static_cast<std::size_t>(open - messages_.begin()));
}

void GradientExchange::Finish() {
  if (messages_.empty()) return;
  if (!open_) Begin();  // this rank had no backward pass in this step
  SendTo(messages_.size());
  open_ = false;
  courier_.Finish();
  ranks_.Wait();
}

void GradientExchange::SendTo(std::size_t end) {
  for (; sent_ < end; ++sent_) courier_.Add([this, &message = messages_[sent_]] { Send(message); });
}

void GradientExchange::Send(const Message& message) {
  const at::Tensor flat = Flat(message.tensors, message.elements);
  ranks_.Reduce(flat, message.owner);
  int64_t offset = 0;
  for (const at::Tensor& tensor : message.tensors) {
    if (message.owner == ranks_.rank()) {
      tensor.mutable_grad() = flat.narrow(0, offset, tensor.numel()).view(tensor.sizes());
    } else {
      tensor.mutable_grad().reset();
    }
    offset += tensor.numel();
  }
}

}  // namespace pivotal::dpo
