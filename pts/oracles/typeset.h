// Apache-2.0. Typeset characters as LaTeX.
#pragma once

#include <string>
#include <string_view>

namespace pivotal::pts {

// `text` with each character that mathematics typesets ("π", "√", "≤", "²", "½", "−") replaced by
// LaTeX that says the same, and invisible ones by a space; other bytes stay.
std::string TypesetToLatex(std::string_view text);

}  // namespace pivotal::pts
