// Apache-2.0.
#include "model/trunk_cache.h"

#include <algorithm>
#include <cstddef>
#include <deque>

#include "data/base/error.h"

namespace pivotal::model {
namespace {

// Returns the least recently used trunk without users below `trunk`, or null.
Trunk* OldestUnused(Trunk& trunk) {
  Trunk* oldest = nullptr;
  for (const auto& [key, child] : trunk.children) {
    Trunk* found = child->users == 0 ? child.get() : OldestUnused(*child);
    if (found != nullptr && (oldest == nullptr || found->last_use < oldest->last_use))
      oldest = found;
  }
  return oldest;
}

}  // namespace

bool KvBlocks::Reserve(int64_t count) {
  if (count > capacity_ - taken_ - reserved_) return false;
  reserved_ += count;
  return true;
}

int32_t KvBlocks::Take() {
  --reserved_;
  ++taken_;
  if (free_.empty()) return first_untouched_++;
  return free_.extract(free_.begin()).value();
}

void KvBlocks::Free(std::vector<int32_t>& blocks) {
  taken_ -= static_cast<int64_t>(blocks.size());
  free_.insert(blocks.begin(), blocks.end());
  blocks.clear();
}

const Trunk& Trunk::At(int64_t length) const {
  const Trunk* trunk = this;
  while (trunk->depth >= length) trunk = trunk->parent;
  return *trunk;
}

std::vector<kernels::KvPiece> Trunk::Pieces(int64_t length) const {
  std::vector<kernels::KvPiece> pieces;
  for (const Trunk* trunk = this; trunk->parent != nullptr; trunk = trunk->parent) {
    pieces.push_back({trunk->blocks.data(), static_cast<int32_t>(length - trunk->depth)});
    length = trunk->depth;
  }
  std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

TrunkCache::TrunkCache(Decoder& decoder, int64_t blocks, int64_t prefill_tokens,
                       RolloutCounters& counters)
    : decoder_(decoder), blocks_(blocks), prefill_tokens_(prefill_tokens), counters_(counters) {
  Root(/*is_long=*/true).is_long = true;
}

bool TrunkCache::Reserve(int64_t count) {
  while (!blocks_.Reserve(count))
    if (!EvictOne()) return false;
  return true;
}

std::optional<TrunkPlace> TrunkCache::HoldPrefix(std::span<const TokenId> tokens,
                                                 std::span<const TokenId> cover, bool is_long,
                                                 int64_t more) {
  Trunk& root = Root(is_long);
  Trunk* const cached = Find(root, cover).trunk;
  Hold(cached);  // what is cached must not be evicted for what is missing
  const int64_t reused = Find(root, tokens).length;
  std::optional<TrunkPlace> place;
  for (const auto wanted : {cover, tokens}) {
    const int64_t missing = std::ssize(wanted) - Find(root, wanted).length;
    if (!Reserve(KvBlocks::CountFor(missing) + more)) continue;
    Add(root, wanted);
    place = Find(root, tokens);
    Hold(place->trunk);
    counters_.reused_tokens += reused;
    break;
  }
  Drop(cached);
  return place;
}

void TrunkCache::Drop(Trunk* trunk) {
  --trunk->users;
  trunk->last_use = ++clock_;
}

void TrunkCache::Prefill(std::span<Trunk* const> trunks, const Progress& progress) {
  std::vector<Trunk*> todo;  // ancestors before their descendants
  for (Trunk* trunk : trunks) {
    const std::size_t first = todo.size();
    for (; trunk->parent != nullptr && trunk->prefilled < std::ssize(trunk->tokens);
         trunk = trunk->parent)
      if (std::ranges::find(todo, trunk) == todo.end()) todo.push_back(trunk);
    std::reverse(todo.begin() + static_cast<std::ptrdiff_t>(first), todo.end());
  }
  std::vector<DecodeRow> rows;
  std::deque<std::vector<kernels::KvPiece>> pieces;
  std::vector<std::pair<Trunk*, int64_t>> reached;  // Trunk::prefilled after the pass
  const auto run = [&] {
    if (progress.StopRequested()) throw Interrupted("stopped while computing prefixes");
    decoder_.Prefill(rows);
    counters_.prefilled_tokens += std::ssize(rows);
    for (const auto& [trunk, count] : reached) trunk->prefilled = count;
    rows.clear(), pieces.clear(), reached.clear();
  };
  for (Trunk* trunk : todo) {
    for (int64_t i = trunk->prefilled; i < std::ssize(trunk->tokens); ++i) {
      const int64_t position = trunk->depth + i;
      pieces.push_back(trunk->Pieces(position + 1));
      rows.push_back({trunk->tokens[i], position, trunk->is_long, pieces.back(),
                      trunk->blocks[i / kernels::kBlockTokens],
                      static_cast<int32_t>(i % kernels::kBlockTokens)});
      if (reached.empty() || reached.back().first != trunk) reached.push_back({trunk, 0});
      reached.back().second = i + 1;
      if (std::ssize(rows) == prefill_tokens_) run();
    }
  }
  if (!rows.empty()) run();
}

TrunkPlace TrunkCache::Find(Trunk& root, std::span<const TokenId> tokens) {
  Trunk* trunk = &root;
  int64_t at = 0;
  const auto size = static_cast<int64_t>(tokens.size());
  while (true) {
    while (at < size && at < trunk->end() && trunk->tokens[at - trunk->depth] == tokens[at]) ++at;
    if (at == size) return {trunk, at};
    const auto child = trunk->children.find({at, tokens[at]});
    if (child == trunk->children.end()) return {trunk, at};
    trunk = child->second.get();
  }
}

void TrunkCache::Add(Trunk& root, std::span<const TokenId> tokens) {
  const TrunkPlace place = Find(root, tokens);
  const auto size = static_cast<int64_t>(tokens.size());
  Trunk* last = place.trunk;
  if (place.length < size) {
    auto trunk = std::make_unique<Trunk>();
    trunk->parent = place.trunk;
    trunk->is_long = root.is_long;
    trunk->depth = place.length;
    trunk->tokens.assign(tokens.begin() + place.length, tokens.end());
    for (int64_t i = 0; i < KvBlocks::CountFor(size - place.length); ++i)
      trunk->blocks.push_back(blocks_.Take());
    last = trunk.get();
    ++place.trunk->users;
    place.trunk->children[{place.length, tokens[place.length]}] = std::move(trunk);
  }
  last->last_use = ++clock_;
}

bool TrunkCache::EvictOne() {
  for (Trunk& root : roots_) {
    Trunk* const oldest = OldestUnused(root);
    if (oldest == nullptr) continue;
    blocks_.Free(oldest->blocks);
    Trunk* const parent = oldest->parent;
    --parent->users;
    parent->children.erase(parent->children.find({oldest->depth, oldest->tokens.front()}));
    return true;
  }
  return false;
}

}  // namespace pivotal::model
