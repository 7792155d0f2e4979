// Apache-2.0. Answers in LaTeX or plain text as trees.
#pragma once

#include <optional>
#include <string_view>

#include "pts/oracles/latex_lexer.h"
#include "pts/oracles/math_expression.h"

namespace pivotal::pts {

// The tree of `text`, or nullopt where it is no mathematics that this reader knows; it is then
// compared as text. Units behind a value are dropped. Linear in the text's length; nesting, size
// and numbers are bounded. Never throws.
std::optional<Math> ParseMath(std::string_view text, const LexOptions& options = {});

}  // namespace pivotal::pts
