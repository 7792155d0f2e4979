// Apache-2.0.
#include "model/trunk_memory.h"

#include <algorithm>
#include <deque>

#include "data/error.h"

namespace pivotal::model {

TrunkMemory::TrunkMemory(Decoder& decoder, int64_t blocks, int64_t pass, RolloutCounters& counters)
    : decoder_(decoder), blocks_(blocks), trees_{TrunkTree(blocks_), TrunkTree(blocks_)}, pass_(pass),
      counters_(counters) {}

bool TrunkMemory::Promise(int64_t count) {
  while (!blocks_.Promise(count))
    if (!trees_[0].EvictOne() && !trees_[1].EvictOne()) return false;
  return true;
}

std::optional<TrunkPlace> TrunkMemory::Hold(std::span<const TokenId> tokens, std::span<const TokenId> cover,
                                            bool is_long, int64_t more) {
  TrunkTree& tree = trees_[is_long ? 1 : 0];
  Trunk* there = tree.Find(cover).trunk;
  tree.Hold(there);  // what is there already is not to go for what isn't
  const auto had = tree.Find(tokens).length;
  std::optional<TrunkPlace> place;
  for (const auto wanted : {cover, tokens}) {
    if (!Promise(tree.Missing(wanted) + more)) continue;
    tree.Add(wanted);
    place = tree.Find(tokens);
    tree.Hold(place->trunk);
    counters_.reused_tokens += had;
    break;
  }
  tree.Drop(there);
  return place;
}

void TrunkMemory::Prefill(std::span<Trunk* const> trunks, const Progress& progress) {
  std::vector<Trunk*> todo;
  for (Trunk* trunk : trunks) {
    const std::size_t first = todo.size();
    for (; trunk->parent != nullptr && trunk->prefilled < std::ssize(trunk->tokens); trunk = trunk->parent)
      if (std::ranges::find(todo, trunk) == todo.end()) todo.push_back(trunk);
    std::reverse(todo.begin() + static_cast<std::ptrdiff_t>(first), todo.end());
  }
  std::vector<DecodeRow> rows;
  std::deque<std::vector<kernels::KvPiece>> pieces;
  std::vector<std::pair<Trunk*, int64_t>> reached;
  const auto run = [&] {
    if (progress.StopRequested()) throw Interrupted("stopped while computing prefixes");
    decoder_.Prefill(rows);
    counters_.prefilled_tokens += std::ssize(rows);
    for (const auto& [trunk, count] : reached) trunk->prefilled = count;
    rows.clear(), pieces.clear(), reached.clear();
  };
  for (Trunk* trunk : todo) {
    const bool is_long = IsLong(trunk);
    for (int64_t i = trunk->prefilled; i < std::ssize(trunk->tokens); ++i) {
      const int64_t position = trunk->depth + i;
      pieces.push_back(trunk->Pieces(position + 1));
      rows.push_back({trunk->tokens[i], position, is_long, pieces.back(),
                      trunk->blocks[i / kernels::kBlockTokens], static_cast<int32_t>(i % kernels::kBlockTokens)});
      if (reached.empty() || reached.back().first != trunk) reached.push_back({trunk, 0});
      reached.back().second = i + 1;
      if (std::ssize(rows) == pass_) run();
    }
  }
  if (!rows.empty()) run();
}

bool TrunkMemory::IsLong(const Trunk* trunk) const {
  while (trunk->parent != nullptr) trunk = trunk->parent;
  return trunk == trees_[1].root();
}

}  // namespace pivotal::model
