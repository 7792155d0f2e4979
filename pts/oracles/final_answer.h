// Apache-2.0. Where a response states its answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::pts {

// What stands in the last \boxed{} (or \fbox{}; also "\boxed 5" and "\boxed5"); boxes with nothing
// but "and", "or" and commas between them are one list. Nullopt without a box, and for an empty
// one.
std::optional<std::string> BoxedAnswer(std::string_view text);

// Readings of the answer that `text` states, the most literal first: of the sentence behind a
// "final answer is" that follows the last box; else of the last box; without a box of the sentence
// behind the last "answer is" ("answer:"); without that of the last formula between dollar signs or
// \( \) or
// \[ \], or, without a formula, of the last line. Empty where `text` is, or its last box.
std::vector<std::string> FinalAnswers(std::string_view text);

}  // namespace pivotal::pts
