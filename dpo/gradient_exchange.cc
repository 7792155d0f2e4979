// Apache-2.0.
#include "dpo/gradient_exchange.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>
#include <system_error>

#include "data/base/error.h"

namespace pivotal::dpo {
namespace {

// Assigns owners: the largest bucket first, each to the rank with the fewest elements so far.
void Assign(std::vector<Bucket>& buckets, int ranks) {
  std::vector<std::size_t> order(buckets.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](std::size_t i) { return buckets[i].elements; });
  std::vector<int64_t> load(static_cast<std::size_t>(ranks));
  for (std::size_t i : order) {
    const auto least = std::ranges::min_element(load);
    buckets[i].owner = static_cast<int>(least - load.begin());
    *least += buckets[i].elements;
  }
}

// Value of complete_ that ends the sending thread.
constexpr int64_t kStop = std::numeric_limits<int64_t>::max();

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

GradientExchange::GradientExchange(const model::ParameterMap& trainable,
                                   const std::vector<Bucket>& buckets, Ranks& ranks)
    : ranks_(ranks) {
  if (ranks.size() == 1) return;
  for (const Bucket& bucket : buckets) {
    const auto index = static_cast<int64_t>(messages_.size());
    Message& message = messages_.emplace_back();
    message.elements = bucket.elements;
    message.lowest_layer = bucket.lowest_layer;
    message.owner = bucket.owner;
    for (const std::string& name : bucket.names) {
      const at::Tensor& tensor = message.tensors.emplace_back(trainable.at(name));
      const auto hook = [this, index, layer = LayerOf(name)](const at::Tensor&) {
        OnGradient(index, layer);
      };
      hooks_.emplace_back(tensor, tensor.register_hook(hook));
    }
  }
}

GradientExchange::~GradientExchange() {
  for (const auto& [tensor, hook] : hooks_) tensor.remove_hook(hook);
  if (!sending_.valid()) return;  // it is valid if a step has failed halfway
  complete_ = kStop;
  complete_.notify_one();
  sending_.wait();
}

void GradientExchange::OnGradient(int64_t index, int layer) {
  if (!sending_.valid()) return;
  const int64_t complete = complete_;
  if (index < complete)
    Fail("a gradient came after its bucket was sent: two passes through the layers");
  if (layer == kEmbeddingLayer) return;  // its first gradient may be that of the tied output matrix
  const auto open = std::ranges::find_if(
      messages_, [&](const Message& message) { return message.lowest_layer <= layer; });
  if (const int64_t now = open - messages_.begin(); now > complete) {
    complete_ = now;
    complete_.notify_one();
  }
}

void GradientExchange::Begin() {
  if (messages_.empty()) return;
  complete_ = 0;
  try {
    sending_ = std::async(std::launch::async, [this] { SendAll(); });
  } catch (const std::system_error& error) {
    Fail(
        "the system does not start the thread that exchanges gradients ({}); raise the limit of "
        "processes (ulimit -u)",
        error.code().message());
  }
}

void GradientExchange::Finish() {
  if (messages_.empty()) return;
  if (!sending_.valid()) Begin();  // this rank had no backward pass in this step
  complete_ = static_cast<int64_t>(messages_.size());
  complete_.notify_one();
  sending_.get();
  ranks_.Wait();
}

void GradientExchange::SendAll() {
  const c10::NoGradGuard no_grad;
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    int64_t complete = complete_;
    for (; complete <= index; complete = complete_) complete_.wait(complete);
    if (complete == kStop) return;
    Send(messages_[i]);
  }
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
