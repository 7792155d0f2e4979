// Apache-2.0. Estimates of one query, memoised per prefix.
#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <vector>

#include "data/tokenizer.h"
#include "pts/estimator.h"

namespace pivotal::pts {

// Keyed by response tokens t_1..t_k (empty for p_0). Responses that share a prefix share its entry.
class EstimateTable {
 public:
  // Null where nothing was inserted; valid as long as the table.
  const Estimate* Find(std::span<const TokenId> prefix) const {
    const auto found = estimates_.find(prefix);
    return found == estimates_.end() ? nullptr : &found->second;
  }
  // The first estimate of a prefix stays.
  void Insert(std::span<const TokenId> prefix, Estimate estimate) {
    estimates_.emplace(std::vector<TokenId>(prefix.begin(), prefix.end()), estimate);
  }

 private:
  struct Less {
    using is_transparent = void;
    bool operator()(std::span<const TokenId> a, std::span<const TokenId> b) const {
      return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
    }
  };
  std::map<std::vector<TokenId>, Estimate, Less> estimates_;
};

}  // namespace pivotal::pts
