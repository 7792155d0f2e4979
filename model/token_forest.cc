// Apache-2.0.
#include "model/token_forest.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "model/tensor_transfer.h"

namespace pivotal::model {
namespace {

// Shorter common runs are computed for each sequence, which costs less than another segment.
constexpr int64_t kMinShared = 8;

int64_t CommonLength(std::span<const TokenId> a, std::span<const TokenId> b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

}  // namespace

TokenForest TokenForest::Rows(const at::Tensor& tokens) {
  const int64_t length = tokens.size(1);
  return {tokens.flatten(),
          std::vector<Segment>(static_cast<std::size_t>(tokens.size(0)), {length, -1, 0, length})};
}

int64_t ForestBuilder::Add(std::vector<TokenId> tokens, int64_t length) {
  sequences_.push_back({std::move(tokens), length, 0, {}});
  return static_cast<int64_t>(sequences_.size()) - 1;
}

TokenForest ForestBuilder::Build(at::Device device) {
  const auto is_long = [&](int64_t i) { return rope_.IsLong(sequences_[i].length); };
  std::vector<int64_t> order(sequences_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](int64_t a, int64_t b) {
    if (is_long(a) != is_long(b)) return is_long(b);
    return sequences_[a].tokens < sequences_[b].tokens;
  });
  // A sequence that is the beginning of others comes right before one of them in this order.
  std::vector<int64_t> leaves;
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    Sequence& sequence = sequences_[*at];
    const bool covered = !leaves.empty() && is_long(leaves.back()) == is_long(*at) &&
                         CommonLength(sequence.tokens, sequences_[leaves.back()].tokens) ==
                             static_cast<int64_t>(sequence.tokens.size());
    if (!covered) leaves.push_back(*at);
    sequence.leaf = leaves.back();
  }
  std::ranges::reverse(leaves);
  const auto middle = std::ranges::partition_point(leaves, [&](int64_t i) { return !is_long(i); });
  Grow({leaves.begin(), middle}, 0, -1);
  Grow({middle, leaves.end()}, 0, -1);
  return {ToDevice(std::vector<int64_t>(tokens_.begin(), tokens_.end()), device), segments_};
}

void ForestBuilder::Grow(std::span<const int64_t> leaves, int64_t depth, int64_t parent) {
  if (leaves.empty()) return;
  const std::vector<TokenId>& first = sequences_[leaves.front()].tokens;
  const int64_t common = leaves.size() == 1 ? static_cast<int64_t>(first.size())
                                            : CommonLength(first, sequences_[leaves.back()].tokens);
  if (leaves.size() == 1 || common - depth >= kMinShared) {
    const auto node = static_cast<int64_t>(tokens_.size());
    for (int64_t leaf : leaves) sequences_[leaf].path.push_back({depth, node});
    tokens_.insert(tokens_.end(), first.begin() + depth, first.begin() + common);
    segments_.push_back({common - depth, parent, depth, sequences_[leaves.back()].length});
    parent = static_cast<int64_t>(segments_.size()) - 1;
    depth = common;
  }
  if (leaves.size() == 1) return;
  for (auto begin = leaves.begin(); begin != leaves.end();) {
    const TokenId token = sequences_[*begin].tokens[common];
    const auto end = std::find_if(begin, leaves.end(), [&](int64_t leaf) {
      return sequences_[leaf].tokens[common] != token;
    });
    Grow({begin, end}, depth, parent);
    begin = end;
  }
}

int64_t ForestBuilder::Node(int64_t sequence, int64_t column) const {
  const auto& path = sequences_[sequences_[sequence].leaf].path;
  const auto after = std::ranges::upper_bound(path, column, {}, &Sequence::Run::first);
  const auto& run = *std::prev(after);
  return run.node + column - run.first;
}

}  // namespace pivotal::model
