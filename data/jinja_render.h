// Apache-2.0. From a chat template's tree and its variables to text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/jinja_ast.h"

namespace pivotal::data::jinja {

using Variables = std::vector<std::pair<std::string, Value>>;

// Throws Fault with its line.
std::string Render(const Block& block, const Variables& variables);

}  // namespace pivotal::data::jinja
