// Apache-2.0. The families of worlds that searches are measured on: worlds of random lengths.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tests/support/table_world.h"

namespace pivotal::bench {

// Which worlds of a family are made.
struct WorldChoice {
  uint64_t seed = 1;
  int32_t longest = 400;  // lengths are 40 to this, uniform in their logarithm
};

// A family of worlds: its name, and its world `number`.
struct WorldFamily {
  const char* name;
  testing::TableWorld (*make)(const WorldChoice& choice, int32_t number);
  bool skewed = false;  // p_0 is near 0 or 1
};

std::span<const WorldFamily> WorldFamilies();

// Returns the family; throws Error that lists the names if there is none.
const WorldFamily& FamilyNamed(std::string_view name);

}  // namespace pivotal::bench
