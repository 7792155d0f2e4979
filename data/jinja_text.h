// Apache-2.0. Python's text functions, by character, on UTF-8. Letters beyond ASCII have no case
// here: functions that would change it throw Fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/jinja_value.h"

namespace pivotal::data::jinja {

// str() and repr() of a value; json.dumps(value, ensure_ascii=False), spread over lines where
// `indent` is not negative. Throw Fault for what has no such form here, e.g. a function.
std::string ToText(const Value& value, Budget& budget);
std::string ToRepr(const Value& value, Budget& budget);
std::string ToJson(const Value& value, int64_t indent, Budget& budget);

// White space at `offset`: its length in bytes, 0 if there is none. As str.isspace() has it.
std::size_t SpaceAt(std::string_view text, std::size_t offset);
enum class Side { kLeft, kRight, kBoth };
// Removes white space, or any of the characters of `chars`.
std::string_view Strip(std::string_view text, Side side,
                       std::optional<std::string_view> chars = std::nullopt);
// str.split(); `limit` cuts at most, -1: all. No separator: runs of white space.
std::vector<std::string_view> Split(std::string_view text, std::optional<std::string_view> separator,
                                    int64_t limit);
std::string Replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit,
                    Budget& budget);
// Offset of the first `needle` from `from` on, in linear time; npos.
std::size_t FindText(std::string_view text, std::string_view needle, std::size_t from = 0);

enum class Case { kUpper, kLower, kTitle, kCapital };
std::string ChangeCase(std::string_view text, Case to);
std::string TitleFilter(std::string_view text);  // Jinja's filter differs from str.title()

std::size_t Length(std::string_view text);  // in characters
std::vector<std::string_view> Characters(std::string_view text);

std::optional<int64_t> ParseInt(std::string_view text);  // int(text); Fault beyond 64 bits
std::optional<double> ParseFloat(std::string_view text);

}  // namespace pivotal::data::jinja
