// Apache-2.0. Fail(): throws the project's one exception type with a formatted text.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "pivotal/error.h"

namespace pivotal {

// Throws Error with a fmt-formatted message.
template <typename... Args>
[[noreturn]] void Fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace pivotal
