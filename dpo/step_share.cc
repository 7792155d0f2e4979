// Apache-2.0.
#include "dpo/step_share.h"

#include <algorithm>

namespace pivotal::dpo {
namespace {

// Where the share of `rank` begins.
int64_t Boundary(std::span<const int64_t> step, std::span<const int64_t> group_of, int rank, int ranks) {
  const auto size = static_cast<int64_t>(step.size());
  const int64_t even = (size * rank + ranks - 1) / ranks, slack = size / (4 * ranks);
  const auto splits = [&](int64_t at) {
    return at > 0 && at < size && group_of[step[at - 1]] == group_of[step[at]];
  };
  for (int64_t shift = 0; shift <= slack; ++shift)
    for (int64_t at : {even - shift, even + shift})
      if (!splits(at)) return at;
  return even;
}

}  // namespace

std::span<const int64_t> ShareOf(std::span<const int64_t> step, std::span<const int64_t> group_of,
                                 int rank, int ranks) {
  const int64_t first = Boundary(step, group_of, rank, ranks);
  return step.subspan(first, Boundary(step, group_of, rank + 1, ranks) - first);
}

std::vector<int64_t> GroupOf(std::span<const std::vector<int64_t>> groups) {
  std::size_t examples = 0;
  for (const auto& group : groups) examples += group.size();
  std::vector<int64_t> group_of(examples);
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (int64_t example : groups[g]) group_of[example] = static_cast<int64_t>(g);
  return group_of;
}

}  // namespace pivotal::dpo
