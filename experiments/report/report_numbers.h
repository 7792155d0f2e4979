// Apache-2.0. Numbers and texts as the page of a run shows them.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>

namespace pivotal::experiments {

// Rounds to four decimals: the page shows no more, and the JSON is a third as long.
inline double Short(double value) { return std::round(value * 1e4) / 1e4; }

// Returns the first `bytes` of a text, cut between characters.
inline std::string Beginning(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while ((text[bytes] & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes) + "…";
}

}  // namespace pivotal::experiments
