// Apache-2.0. Letters of multiple choice in running text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pivotal::pts {

// The last letter A-J that is no part of a word: "(B)", "Answer: B", "\boxed{B}"; case is kept, so
// "b" is none. Typographic quotes and dashes may touch it; the I of "I'm" is none.
std::optional<std::string> LastChoice(std::string_view text);

}  // namespace pivotal::pts
