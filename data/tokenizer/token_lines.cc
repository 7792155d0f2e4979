// Apache-2.0.
#include "data/tokenizer/token_lines.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "data/base/error.h"
#include "data/base/json_input.h"

namespace pivotal::data {
namespace {

constexpr std::size_t kMaxLine = std::size_t{64} << 20;

// Reads the next line without its line end. Returns false at the end of the input.
bool ReadLine(std::istream& in, const std::string& where, std::string& line) {
  constexpr int kEnd = std::char_traits<char>::eof();
  line.clear();
  std::streambuf* buffer = in.rdbuf();
  int c = kEnd;
  try {
    while ((c = buffer->sbumpc()) != kEnd && c != '\n') {
      if (line.size() == kMaxLine) Fail("{}: line longer than {} MiB", where, kMaxLine >> 20);
      line += static_cast<char>(c);
    }
  } catch (const std::ios_base::failure& e) {
    Fail("{}: can't read: {}", where, e.what());
  }
  if (c == kEnd && line.empty()) return false;
  if (line.ends_with('\r')) line.pop_back();
  return true;
}

std::string ToJson(const std::vector<TokenId>& ids) {
  return fmt::format("[{}]\n", fmt::join(ids, ", "));
}

std::vector<TokenId> FromJson(std::string_view line, int32_t vocab_size, const std::string& where) {
  const auto skip_blanks = [&] {
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
  };
  const auto take = [&](char c) {
    skip_blanks();
    const bool there = line.starts_with(c);
    if (there) line.remove_prefix(1);
    return there;
  };
  const std::string_view whole = line;
  const auto fail = [&] {
    Fail("{}: an array of token ids is needed, like [1, 2], not {}", where, Quoted(whole));
  };
  std::vector<TokenId> ids;
  if (!take('[')) fail();
  if (!take(']')) {
    do {
      skip_blanks();
      TokenId id = -1;
      const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), id);
      const std::string_view number(line.data(), static_cast<std::size_t>(end - line.data()));
      if (error == std::errc::result_out_of_range ||
          (error == std::errc() && (id < 0 || id >= vocab_size))) {
        Fail("{}: {} is no token id of this tokenizer: 0 to {} are", where, number, vocab_size - 1);
      }
      if (error != std::errc()) fail();
      line.remove_prefix(number.size());
      ids.push_back(id);
    } while (take(','));
    if (!take(']')) fail();
  }
  skip_blanks();
  if (!line.empty()) fail();
  return ids;
}

}  // namespace

LineCounts EncodeLines(const Tokenizer& tokenizer, bool add_special, std::istream& in,
                       const std::string& name, const WriteText& write) {
  LineCounts counts;
  std::string line;
  const auto where = [&] { return fmt::format("{}:{}", name, counts.lines + 1); };
  while (ReadLine(in, where(), line)) {
    std::vector<TokenId> ids;
    try {
      ids = add_special ? tokenizer.EncodeWithSpecial(line) : tokenizer.Encode(line);
    } catch (const Error& e) {
      Fail("{}: {}", where(), e.what());
    }
    counts.tokens += ids.size();
    write(ToJson(ids));
    ++counts.lines;
  }
  return counts;
}

LineCounts DecodeLines(const Tokenizer& tokenizer, std::istream& in, const std::string& name,
                       const WriteText& write) {
  LineCounts counts;
  std::string line;
  const auto where = [&] { return fmt::format("{}:{}", name, counts.lines + 1); };
  while (ReadLine(in, where(), line)) {
    const std::vector<TokenId> ids = FromJson(line, tokenizer.VocabSize(), where());
    const std::string text = tokenizer.Decode(ids, true);
    counts.tokens += ids.size();
    counts.broken += text.find('\n') != std::string::npos;
    write(text + '\n');
    ++counts.lines;
  }
  return counts;
}

}  // namespace pivotal::data
