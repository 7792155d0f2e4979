// Apache-2.0. A chat template as tokens, cut as Jinja2 cuts it with trim_blocks and lstrip_blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pivotal::data::jinja {

struct Token {
  enum class Kind {
    kData, kVariableBegin, kVariableEnd, kBlockBegin, kBlockEnd, kName, kString, kInteger, kFloat,
    kOperator, kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;  // of a string: its value; of a number: without "_"
  int line = 1;
};

// Ends with a kEnd. `source` is UTF-8. Throws Fault with its line.
std::vector<Token> Tokenize(std::string_view source);

}  // namespace pivotal::data::jinja
