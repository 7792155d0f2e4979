// Apache-2.0.
#include "dpo/batch_plan.h"

#include <algorithm>
#include <numeric>

#include "kernels/philox.h"

namespace pivotal::dpo {
namespace {

std::vector<std::vector<int64_t>> Cut(const std::vector<int64_t>& order, int64_t step_size) {
  std::vector<std::vector<int64_t>> steps;
  for (auto at = order.begin(); at != order.end();) {
    const auto end = at + std::min<int64_t>(step_size, order.end() - at);
    steps.emplace_back(at, end);
    at = end;
  }
  return steps;
}

}  // namespace

std::vector<std::vector<int64_t>> Alone(int64_t examples) {
  std::vector<std::vector<int64_t>> groups;
  for (int64_t i = 0; i < examples; ++i) groups.push_back({i});
  return groups;
}

std::vector<std::vector<int64_t>> Nested(std::span<const std::span<const TokenId>> sequences) {
  std::vector<int64_t> order(sequences.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    return std::ranges::lexicographical_compare(sequences[a], sequences[b]);
  });
  std::vector<std::vector<int64_t>> groups;
  for (int64_t i : order) {
    const auto begins = [&](std::span<const TokenId> start, std::span<const TokenId> whole) {
      return std::ranges::mismatch(start, whole).in1 == start.end();
    };
    if (groups.empty() || !begins(sequences[groups.back().back()], sequences[i])) groups.emplace_back();
    groups.back().push_back(i);
  }
  return groups;
}

std::vector<std::vector<int64_t>> PlanEpoch(std::span<const std::vector<int64_t>> groups,
                                            int64_t step_size, uint64_t seed, int64_t epoch) {
  kernels::RandomStream random(seed, kernels::MixStream(kernels::MixStream(0, "epoch"), epoch));
  std::vector<std::size_t> turn(groups.size());
  std::iota(turn.begin(), turn.end(), 0);
  for (auto i = static_cast<int64_t>(turn.size()) - 1; i > 0; --i)
    std::swap(turn[i], turn[random.Below(i + 1)]);
  std::vector<int64_t> order;
  for (std::size_t group : turn) order.insert(order.end(), groups[group].begin(), groups[group].end());
  return Cut(order, step_size);
}

std::vector<std::vector<int64_t>> PlanInOrder(int64_t examples, int64_t step_size) {
  std::vector<int64_t> order(static_cast<std::size_t>(examples));
  std::iota(order.begin(), order.end(), 0);
  return Cut(order, step_size);
}

}  // namespace pivotal::dpo
