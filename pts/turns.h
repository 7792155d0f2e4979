// Apache-2.0. The order in which queries give their pairs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "pivotal/pairs.h"

namespace pivotal::pts {

// Returns the first pair of every query, then the second one of each, and so on, up to `count`
// pairs; 0: all. Query q has sizes[q] pairs; make(q, i) returns the i-th.
template <typename Make>
std::vector<PreferencePair> InTurns(std::span<const std::size_t> sizes, int32_t count, Make make) {
  std::vector<PreferencePair> pairs;
  bool any = true;
  for (std::size_t turn = 0; any; ++turn) {
    any = false;
    for (std::size_t q = 0; q < sizes.size(); ++q) {
      if (turn >= sizes[q]) continue;
      if (count > 0 && std::ssize(pairs) >= count) return pairs;
      any = true;
      pairs.push_back(make(q, turn));
    }
  }
  return pairs;
}

// The same of pairs that are made already: [query][pair].
inline std::vector<PreferencePair> InTurns(std::vector<std::vector<PreferencePair>> pairs,
                                           int32_t count) {
  std::vector<std::size_t> sizes;
  for (const auto& of_query : pairs) sizes.push_back(of_query.size());
  return InTurns(sizes, count,
                 [&](std::size_t q, std::size_t i) { return std::move(pairs[q][i]); });
}

}  // namespace pivotal::pts
