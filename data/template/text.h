// Apache-2.0. Python's functions on texts, on UTF-8: positions and lengths count characters.
// Functions that change case throw Fault for text beyond ASCII.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/template/value.h"

namespace pivotal::data::jinja {

// Python's str(value), repr(value) and json.dumps(value, ensure_ascii=False). JSON is spread over
// lines where `indent` is not negative. They throw Fault for values that cannot be printed, such as
// functions.
std::string ToText(const Value& value, Budget& budget);
std::string ToRepr(const Value& value, Budget& budget);
std::string ToJson(const Value& value, int64_t indent, Budget& budget);

// Returns the length in bytes of the white space character (as in str.isspace()) at `offset`, or 0
// where there is none.
std::size_t SpaceAt(std::string_view text, std::size_t offset);
enum class Side { kLeft, kRight, kBoth };
// Removes white space, or the characters in `chars`, from the ends that `side` names.
std::string_view Strip(std::string_view text, Side side,
                       std::optional<std::string_view> chars = std::nullopt);
// Follows str.split(): splits `limit` times at most (-1: everywhere), by default at runs of white
// space.
std::vector<std::string_view> Split(std::string_view text,
                                    std::optional<std::string_view> separator, int64_t limit);
std::string Replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t limit, Budget& budget);
// Returns the offset of the first `needle` at or after `from`, or npos, in linear time.
std::size_t FindText(std::string_view text, std::string_view needle, std::size_t from = 0);

enum class Case { kUpper, kLower, kTitle, kCapital };
std::string ChangeCase(std::string_view text, Case to);
// Jinja's filter `title`, which differs from str.title().
std::string TitleFilter(std::string_view text);

std::size_t Length(std::string_view text);  // in characters
std::vector<std::string_view> Characters(std::string_view text);

// Python's int(text) and float(text); nothing where those raise ValueError. Throws Fault for an int
// beyond 64 bits.
std::optional<int64_t> ParseInt(std::string_view text);
std::optional<double> ParseFloat(std::string_view text);

}  // namespace pivotal::data::jinja
