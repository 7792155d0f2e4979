// Apache-2.0.
#include "kernels/quantised.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace pivotal::kernels {

const float (*Nf4Pairs())[2] {
  struct Table {
    float pairs[256][2];
    Table() {
      for (int byte = 0; byte < 256; ++byte) {
        pairs[byte][0] = kNf4[byte >> 4];
        pairs[byte][1] = kNf4[byte & 15];
      }
    }
  };
  static const Table table;
  return table.pairs;
}

void QuantiseNf4Scales(const float* largest, int64_t blocks, uint8_t* scales, float* group_scales,
                       float* offset) {
  const MomentTables& tables = MomentTablesOnCpu();
  double sum = 0;
  for (int64_t i = 0; i < blocks; ++i) sum += largest[i];
  const auto mean = blocks > 0 ? static_cast<float>(sum / static_cast<double>(blocks)) : 0.0f;
  *offset = mean;
  for (int64_t begin = 0; begin < blocks; begin += kNf4Group) {
    const int64_t end = std::min(begin + kNf4Group, blocks);
    float most = 0;
    for (int64_t i = begin; i < end; ++i) most = std::max(most, std::fabs(largest[i] - mean));
    group_scales[begin / kNf4Group] = most;
    for (int64_t i = begin; i < end; ++i)
      scales[i] = FirstMomentCode(most > 0 ? (largest[i] - mean) / most : 0.0f, tables);
  }
}

}  // namespace pivotal::kernels
