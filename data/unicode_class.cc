// Apache-2.0. What kind of character a code point is.
#include "data/unicode_class.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <memory>

namespace pivotal::data {
namespace {

constexpr char32_t kEnd = 0x110000;

constexpr char32_t kRuns[] = {
#include "data/unicode_class.inc"
};

using Table = std::array<CharClass, kEnd>;

std::unique_ptr<const Table> MakeTable() {
  auto table = std::make_unique<Table>();
  for (std::size_t i = 0; i < std::size(kRuns); i += 2) {
    const char32_t end = i + 2 < std::size(kRuns) ? kRuns[i + 2] : kEnd;
    std::fill(table->begin() + kRuns[i], table->begin() + end,
              static_cast<CharClass>(kRuns[i + 1]));
  }
  return table;
}

}  // namespace

CharClass ClassOf(char32_t code) {
  static const std::unique_ptr<const Table> table = MakeTable();
  return (*table)[code];
}

}  // namespace pivotal::data
