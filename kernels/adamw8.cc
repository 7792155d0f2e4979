// Apache-2.0.
#include "kernels/adamw8.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace pivotal::kernels {
namespace {

// Returns the positive numbers of a dynamic map, ascending. Decade i of seven, from 10^(i - 7) to
// 10^(i - 6), is cut into first_cuts * 2^i equal parts, and the number is the middle of a part. The
// last number is 1.
std::vector<double> DynamicMap(int first_cuts) {
  std::vector<double> numbers;
  for (int i = 0; i < 7; ++i) {
    const int cuts = first_cuts << i;
    for (int k = 0; k < cuts; ++k)
      numbers.push_back((0.1 + 0.9 * (k + 0.5) / cuts) * std::pow(10.0, i - 6));
  }
  numbers.push_back(1.0);
  return numbers;
}

// Fills middle and start for the levels 0, numbers[0], numbers[1], ...
void FillLevels(const std::vector<double>& numbers, float* middle, uint8_t* start) {
  double below = 0;
  for (std::size_t level = 0; level < numbers.size(); ++level) {
    middle[level] = static_cast<float>((below + numbers[level]) / 2);
    below = numbers[level];
  }
  middle[numbers.size()] = std::numeric_limits<float>::infinity();
  for (uint32_t i = 0; i < MomentTables::kStarts; ++i) {
    const uint32_t bits = MomentTables::kLowest + (i << 16);
    float smallest = 0;
    std::memcpy(&smallest, &bits, sizeof(bits));
    start[i] =
        static_cast<uint8_t>(std::lower_bound(middle, middle + numbers.size(), smallest) - middle);
  }
}

MomentTables MakeTables() {
  MomentTables tables = {};
  const std::vector<double> signed_map = DynamicMap(1), unsigned_map = DynamicMap(2);
  for (int level = 1; level <= 128; ++level) {
    const auto number = static_cast<float>(signed_map[level - 1]);
    tables.first[127 + level] = number;
    if (level <= 127) tables.first[127 - level] = -number;
  }
  for (int level = 1; level <= 255; ++level)
    tables.second[level] = static_cast<float>(unsigned_map[level - 1]);
  FillLevels(signed_map, tables.first_middle, tables.first_start);
  FillLevels(unsigned_map, tables.second_middle, tables.second_start);
  return tables;
}

}  // namespace

const MomentTables& MomentTablesOnCpu() {
  static const MomentTables tables = MakeTables();
  return tables;
}

}  // namespace pivotal::kernels
