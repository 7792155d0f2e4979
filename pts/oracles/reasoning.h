// Apache-2.0. How reasoning models set their reasoning apart from the response proper.
#pragma once

#include <optional>
#include <string_view>

namespace pivotal::pts {

inline constexpr std::string_view kThinkBegin = "<think>", kThinkEnd = "</think>";

// What a response says behind its last </think>. Nullopt where it opens <think> there and never
// closes it: it was cut while it reasoned and has nothing to read. Answers are read as they are.
std::optional<std::string_view> BehindReasoning(std::string_view response);

}  // namespace pivotal::pts
