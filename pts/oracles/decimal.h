// Apache-2.0. Numbers in running text, compared exactly.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pivotal::pts {

// The first or last number of a text in normal form, of any length: equal numbers give equal
// strings. "1,234", "$1,234.0" and "+01234" give "1234"; "-0" gives "0"; ".50" gives "0.5".
// A minus is a sign where nothing that it could subtract from touches it: "=-4" but not "7-4".
// Commas group only as 1,234,567; elsewhere they separate numbers. Nullopt without a digit.
std::optional<std::string> FirstNumber(std::string_view text);
std::optional<std::string> LastNumber(std::string_view text);

}  // namespace pivotal::pts
