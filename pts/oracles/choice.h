// Apache-2.0. Letters of multiple choice in running text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pivotal::pts {

// Returns the choice A to J that `text` makes, in upper case; nullopt if it makes none. It is the
// first of these that there is:
//   1. the last letter that is said to be the answer: "The answer is (D)", "Answer: d",
//      "\boxed{D}", "I choose D", "D is correct"; "B or C" and "B and C" are both letters, "BC"
//   2. the text itself, if it is one letter: "d", "(d)"
//   3. the last letter that stands alone, "B" or "(b)". A letter in lower case needs its brackets,
//      and the words "A" and "I" ("A triangle", "I think", "I'm") are none.
std::optional<std::string> LastChoice(std::string_view text);

}  // namespace pivotal::pts
