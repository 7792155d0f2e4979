// Apache-2.0. A random order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/philox.h"

namespace pivotal::kernels {

// Fisher and Yates: every order is equally likely, and the first k items are a draw of k without replacement.
template <typename T>
void Shuffle(std::vector<T>& items, RandomStream& random) {
  for (std::size_t i = 0; i < items.size(); ++i)
    std::swap(items[i], items[i + random.Below(static_cast<int64_t>(items.size() - i))]);
}

}  // namespace pivotal::kernels
