// Apache-2.0. Conversion of text files to files of token ids and back, line by line.
#pragma once

#include <cstddef>
#include <functional>
#include <istream>
#include <string>
#include <string_view>

#include "pivotal/tokenizer.h"

namespace pivotal::data {

using WriteText = std::function<void(std::string_view text)>;

struct LineCounts {
  std::size_t lines = 0, tokens = 0;
  std::size_t broken = 0;  // decoded texts that hold line ends and so take several lines
};

// Writes the ids of each line of `in` as a JSON array and '\n'. A line ends with "\n" or "\r\n",
// which is not part of its text. Throws Error that begins with `name` ("prompts.txt") and the line
// number for text that is not UTF-8 and for lines longer than 64 MiB.
LineCounts EncodeLines(const Tokenizer& tokenizer, bool add_special, std::istream& in,
                       const std::string& name, const WriteText& write);

// Writes the text of each line of `in`, a JSON array of ids, and '\n'. Throws Error also for ids
// that the tokenizer lacks, and for blank lines, so that lines of input and output correspond.
LineCounts DecodeLines(const Tokenizer& tokenizer, std::istream& in, const std::string& name,
                       const WriteText& write);

}  // namespace pivotal::data
