// Apache-2.0. Numbers in running text, compared exactly.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pivotal::pts {

// Numbers of a text in normal form, of any length: equal numbers give equal strings. The next from
// `from` on, the first, the last. "1,234", "$1,234.0" and "+01234" give "1234"; "-0" gives "0";
// ".50" gives "0.5". A minus is a sign where nothing that it could subtract from touches it: "=-4"
// but not "7-4". Commas group only as 1,234,567; elsewhere they separate numbers. Nullopt without a
// digit.
struct Decimal {
  std::string value;               // normal form
  std::size_t begin = 0, end = 0;  // its digits and point, without the sign
};
std::optional<Decimal> NextDecimal(std::string_view text, std::size_t from);

// True if `before` ends in a minus sign that makes what follows negative.
bool EndsInSign(std::string_view before);

std::optional<std::string> FirstNumber(std::string_view text);
std::optional<std::string> LastNumber(std::string_view text);

}  // namespace pivotal::pts
