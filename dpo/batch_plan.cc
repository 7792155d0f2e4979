// Apache-2.0.
#include "dpo/batch_plan.h"

#include <algorithm>
#include <numeric>

#include "kernels/philox.h"

namespace pivotal::dpo {
namespace {

template <typename T>
void Shuffle(std::vector<T>& items, kernels::RandomStream& random) {
  for (auto i = static_cast<int64_t>(items.size()) - 1; i > 0; --i)
    std::swap(items[i], items[random.Below(i + 1)]);
}

}  // namespace

std::vector<std::vector<int64_t>> PlanEpoch(std::span<const int64_t> lengths, int64_t batch_size,
                                            uint64_t seed, int64_t epoch) {
  constexpr int64_t kWindow = 32;
  kernels::RandomStream random(seed, kernels::MixStream(kernels::MixStream(0, "epoch"), epoch));
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  Shuffle(order, random);
  std::vector<std::vector<int64_t>> batches;
  const auto total = static_cast<int64_t>(order.size());
  for (int64_t begin = 0; begin < total; begin += kWindow * batch_size) {
    const int64_t end = std::min(total, begin + kWindow * batch_size);
    std::stable_sort(order.begin() + begin, order.begin() + end,
                     [&](int64_t a, int64_t b) { return lengths[a] < lengths[b]; });
    for (int64_t i = begin; i < end; i += batch_size)
      batches.emplace_back(order.begin() + i, order.begin() + std::min(end, i + batch_size));
  }
  Shuffle(batches, random);
  return batches;
}

}  // namespace pivotal::dpo
