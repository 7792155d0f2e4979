// Apache-2.0.
#include "dpo/step_plan.h"

#include <algorithm>
#include <numeric>

#include "kernels/philox.h"

namespace pivotal::dpo {
namespace {

// Cuts `order` into steps of `step_size` examples; the last one may be smaller.
std::vector<std::vector<int64_t>> Cut(const std::vector<int64_t>& order, int64_t step_size) {
  std::vector<std::vector<int64_t>> steps;
  for (auto first = order.begin(); first != order.end();) {
    const auto end = first + std::min<int64_t>(step_size, order.end() - first);
    steps.emplace_back(first, end);
    first = end;
  }
  return steps;
}

// Returns the index in `step` at which the share of `rank` begins.
int64_t ShareBegin(std::span<const int64_t> step, std::span<const int64_t> group_of, int rank,
                   int ranks) {
  const auto size = static_cast<int64_t>(step.size());
  const int64_t even = (size * rank + ranks - 1) / ranks, slack = size / (4 * ranks);
  const auto splits_group = [&](int64_t index) {
    return index > 0 && index < size && group_of[step[index - 1]] == group_of[step[index]];
  };
  for (int64_t shift = 0; shift <= slack; ++shift)
    for (int64_t index : {even - shift, even + shift})
      if (!splits_group(index)) return index;
  return even;
}

}  // namespace

std::vector<std::vector<int64_t>> SingleGroups(int64_t examples) {
  std::vector<std::vector<int64_t>> groups;
  for (int64_t i = 0; i < examples; ++i) groups.push_back({i});
  return groups;
}

std::vector<std::vector<int64_t>> PrefixGroups(
    std::span<const std::span<const TokenId>> sequences) {
  // Sorting puts a sequence behind its prefixes; a sequence that extends the previous one joins its
  // group.
  std::vector<int64_t> order(sequences.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    return std::ranges::lexicographical_compare(sequences[a], sequences[b]);
  });
  const auto is_prefix = [](std::span<const TokenId> prefix, std::span<const TokenId> whole) {
    return std::ranges::mismatch(prefix, whole).in1 == prefix.end();
  };
  std::vector<std::vector<int64_t>> groups;
  for (int64_t i : order) {
    if (groups.empty() || !is_prefix(sequences[groups.back().back()], sequences[i]))
      groups.emplace_back();
    groups.back().push_back(i);
  }
  return groups;
}

std::vector<int64_t> GroupOf(std::span<const std::vector<int64_t>> groups) {
  std::size_t examples = 0;
  for (const auto& group : groups) examples += group.size();
  std::vector<int64_t> group_of(examples);
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (int64_t example : groups[g]) group_of[example] = static_cast<int64_t>(g);
  return group_of;
}

std::vector<std::vector<int64_t>> PlanEpoch(std::span<const std::vector<int64_t>> groups,
                                            int64_t step_size, uint64_t seed, int64_t epoch) {
  kernels::RandomStream random(seed, kernels::MixStream(kernels::MixStream(0, "epoch"), epoch));
  std::vector<std::size_t> group_order(groups.size());
  std::iota(group_order.begin(), group_order.end(), 0);
  // kernels::Shuffle() would give another order than runs of earlier versions had.
  for (auto i = static_cast<int64_t>(group_order.size()) - 1; i > 0; --i)
    std::swap(group_order[i], group_order[random.Below(i + 1)]);
  std::vector<int64_t> order;
  for (std::size_t group : group_order)
    order.insert(order.end(), groups[group].begin(), groups[group].end());
  return Cut(order, step_size);
}

std::vector<std::vector<int64_t>> PlanInOrder(int64_t examples, int64_t step_size) {
  std::vector<int64_t> order(static_cast<std::size_t>(examples));
  std::iota(order.begin(), order.end(), 0);
  return Cut(order, step_size);
}

std::span<const int64_t> ShareOf(std::span<const int64_t> step, std::span<const int64_t> group_of,
                                 int rank, int ranks) {
  const int64_t first = ShareBegin(step, group_of, rank, ranks);
  return step.subspan(first, ShareBegin(step, group_of, rank + 1, ranks) - first);
}

}  // namespace pivotal::dpo
