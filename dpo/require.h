// Apache-2.0. The check behind options that name the bad field.
#pragma once

#include "data/error.h"

namespace pivotal::dpo {

// Throws Error that names the field, its range and the value, unless `holds`.
inline void Require(bool holds, const char* field, const char* range, double value) {
  if (!holds) Fail("{} must be {}, got {}", field, range, value);
}

}  // namespace pivotal::dpo
