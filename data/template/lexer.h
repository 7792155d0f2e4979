// Apache-2.0. The lexer of chat templates: splits the text into tokens as Jinja2 does with
// trim_blocks and lstrip_blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pivotal::data::jinja {

struct Token {
  enum class Kind {
    kData,
    kVariableBegin,
    kVariableEnd,
    kBlockBegin,
    kBlockEnd,
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;  // the value of a string; the digits of a number, without "_"
  int line = 1;
};

// Splits `source` (UTF-8) into tokens, the last of which is kEnd. Throws Fault with its line.
std::vector<Token> Tokenize(std::string_view source);

}  // namespace pivotal::data::jinja
