// Apache-2.0. Blocks of keys and values, handed out and taken back.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "kernels/paged_attention.h"
#include "model/phi_config.h"

namespace pivotal::model {

// Numbers of `capacity` blocks, of kernels::kBlockTokens tokens each. Where the keys and values are is
// the decoder's business. A block that is promised is there when it is taken.
class KvBlocks {
 public:
  explicit KvBlocks(int64_t capacity) : capacity_(capacity) {}

  static int64_t CountFor(int64_t tokens) {
    return (tokens + kernels::kBlockTokens - 1) / kernels::kBlockTokens;
  }

  int64_t capacity() const { return capacity_; }
  // Neither taken nor promised.
  int64_t available() const { return capacity_ - taken_ - promised_; }
  int64_t taken() const { return taken_; }
  int64_t peak() const { return peak_; }

  // Sets `count` available blocks aside; false if there are not as many.
  bool Promise(int64_t count);
  // Gives up blocks that were promised and not taken.
  void Release(int64_t count) { promised_ -= count; }
  // A promised block, the lowest that is free: neighbours are read together.
  int32_t Take();
  void Return(std::vector<int32_t>& blocks);

 private:
  int64_t capacity_, promised_ = 0, taken_ = 0, peak_ = 0;
  int32_t untouched_ = 0;     // the first block that was never taken
  std::set<int32_t> free_;    // below it
};

// Bytes that one token takes in all layers.
int64_t KvBytesPerToken(const PhiConfig& config, int64_t element_bytes = 4);

}  // namespace pivotal::model
