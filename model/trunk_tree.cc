// Apache-2.0.
#include "model/trunk_tree.h"

#include <algorithm>

namespace pivotal::model {
namespace {

// The leaf below `trunk` that nobody uses and nobody used for longest, or null.
Trunk* Oldest(Trunk& trunk) {
  Trunk* oldest = nullptr;
  for (const auto& [key, child] : trunk.children) {
    Trunk* found = child->users == 0 ? child.get() : Oldest(*child);
    if (found != nullptr && (oldest == nullptr || found->last_use < oldest->last_use)) oldest = found;
  }
  return oldest;
}

void ReturnAll(Trunk& trunk, KvBlocks& blocks) {
  for (const auto& [key, child] : trunk.children) ReturnAll(*child, blocks);
  blocks.Return(trunk.blocks);
}

}  // namespace

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

TrunkTree::~TrunkTree() { ReturnAll(root_, blocks_); }

TrunkPlace TrunkTree::Find(std::span<const TokenId> tokens) {
  Trunk* trunk = &root_;
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

int64_t TrunkTree::Missing(std::span<const TokenId> tokens) {
  return KvBlocks::CountFor(static_cast<int64_t>(tokens.size()) - Find(tokens).length);
}

TrunkPlace TrunkTree::Add(std::span<const TokenId> tokens) {
  TrunkPlace place = Find(tokens);
  const auto size = static_cast<int64_t>(tokens.size());
  if (place.length < size) {
    auto trunk = std::make_unique<Trunk>();
    trunk->parent = place.trunk;
    trunk->depth = place.length;
    trunk->tokens.assign(tokens.begin() + place.length, tokens.end());
    for (int64_t i = 0; i < KvBlocks::CountFor(size - place.length); ++i) trunk->blocks.push_back(blocks_.Take());
    ++place.trunk->users;
    auto& slot = place.trunk->children[{place.length, tokens[place.length]}];
    slot = std::move(trunk);
    place = {slot.get(), size};
  }
  place.trunk->last_use = ++clock_;
  return place;
}

void TrunkTree::Hold(Trunk* trunk) { ++trunk->users; }

void TrunkTree::Drop(Trunk* trunk) {
  --trunk->users;
  trunk->last_use = ++clock_;
}

bool TrunkTree::EvictOne() {
  Trunk* oldest = Oldest(root_);
  if (oldest == nullptr) return false;
  blocks_.Return(oldest->blocks);
  Trunk* parent = oldest->parent;
  --parent->users;
  const auto key = std::make_pair(oldest->depth, oldest->tokens.front());
  parent->children.erase(key);
  return true;
}

}  // namespace pivotal::model
