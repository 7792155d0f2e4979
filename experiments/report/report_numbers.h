// Apache-2.0. Numbers and texts as the page of a run shows them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>

namespace pivotal::experiments {

// Rounds to four decimals: the page shows no more, and the JSON is a third as long.
inline double Short(double value) { return std::round(value * 1e4) / 1e4; }

// Returns a count with a comma between each three digits, as the page writes numbers.
inline std::string Grouped(int64_t count) {
  std::string text = std::to_string(count);
  for (auto at = std::ssize(text) - 3; at > (count < 0 ? 1 : 0); at -= 3)
    text.insert(static_cast<std::size_t>(at), ",");
  return text;
}

// Returns the first `bytes` of a text, cut between characters.
inline std::string Beginning(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while ((text[bytes] & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes) + "…";
}

}  // namespace pivotal::experiments
