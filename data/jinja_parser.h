// Apache-2.0. From a chat template's text to its tree.
#pragma once

#include <string_view>

#include "data/jinja_ast.h"

namespace pivotal::data::jinja {

// `source` is UTF-8. Throws Fault with its line for bad syntax, for a construct that is not of the
// subset (data/chat_template.h), and for nesting deeper than 50 statements or 200 expressions.
Block Parse(std::string_view source);

}  // namespace pivotal::data::jinja
