// Apache-2.0. Text files to files of token ids and back, line by line.
#pragma once

#include <cstddef>
#include <functional>
#include <istream>
#include <string>
#include <string_view>

#include "data/tokenizer.h"

namespace pivotal::data {

using WriteText = std::function<void(std::string_view text)>;

struct LineCounts {
  std::size_t lines = 0, tokens = 0;
  std::size_t broken = 0;  // decoded texts that hold line ends, and so take several lines
};

// Writes for each line of `in` its ids as a JSON array and '\n'; "\n" and "\r\n" end a line and are
// no part of it. `name` is what an Error calls the input ("prompts.txt"): it names the line too.
// Throws Error for text that is not UTF-8 and for lines longer than 64 MiB.
LineCounts EncodeLines(const Tokenizer& tokenizer, bool add_special, std::istream& in,
                       const std::string& name, const WriteText& write);

// The other way round: a JSON array of ids per line to its text and '\n'. Blank lines are refused,
// so that lines correspond.
LineCounts DecodeLines(const Tokenizer& tokenizer, std::istream& in, const std::string& name,
                       const WriteText& write);

}  // namespace pivotal::data
