// Apache-2.0.
#include "dpo/bucket_plan.h"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace pivotal::dpo {
namespace {

// Largest first, each to the rank that has least.
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

}  // namespace

int PartOf(const std::string& weight) {
  if (weight.starts_with("model.embed_tokens.")) return kEmbeddingPart;
  constexpr std::string_view kLayers = "model.layers.";
  return weight.starts_with(kLayers) ? std::stoi(weight.substr(kLayers.size())) : kHeadPart;
}

std::vector<Bucket> PlanBuckets(const model::ParameterMap& trainable, int ranks, int64_t limit) {
  std::vector<std::string> order;
  int64_t total = 0;
  for (const auto& [name, tensor] : trainable) {
    order.push_back(name);
    total += tensor.numel();
  }
  std::ranges::stable_sort(order, std::ranges::greater(), PartOf);
  limit = std::min(limit, total / (4 * ranks));
  std::vector<Bucket> buckets;
  for (const std::string& name : order) {
    const int64_t elements = trainable.at(name).numel();
    if (buckets.empty() || buckets.back().elements + elements > limit) buckets.emplace_back();
    Bucket& bucket = buckets.back();
    bucket.names.push_back(name);
    bucket.elements += elements;
    bucket.last_part = PartOf(name);
  }
  Assign(buckets, ranks);
  return buckets;
}

}  // namespace pivotal::dpo
