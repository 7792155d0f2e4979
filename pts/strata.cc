// Apache-2.0.
#include "pts/strata.h"

#include <algorithm>

namespace pivotal::pts {
namespace {

// Returns true if the node is a stratum of its own.
bool StandsAlone(const SuccessTrie& trie, int32_t node, double gap) {
  const auto& children = trie[node].children;
  if (children.size() != 1) return true;
  return trie.CanBePivotal(children[0], gap);
}

// Returns what to guess q to be where only hints are known.
double GuessOf(Estimate hints) { return hints.samples > 0 ? hints.Mean() : 0.5; }

}  // namespace

Strata::Strata(const SuccessTrie& trie, double gap)
    : trie_(trie),
      stratum_of_(trie.size(), -1),
      index_in_(trie.size(), -1),
      height_(trie.size(), 0),
      reach_(trie.size(), 1.0) {
  for (int32_t node = trie.size() - 1; node > 0; --node) {
    int32_t& height = height_[trie[node].parent];
    height = std::max(height, height_[node] + 1);
  }
  // Parents come before their children in the trie. A pooled run ends once its mass reaches the
  // gap.
  for (int32_t node = 0; node < trie.size(); ++node) {
    if (trie[node].ends) continue;
    const int32_t parent = trie[node].parent;
    const bool alone = StandsAlone(trie, node, gap);
    const bool joins = !alone && parent >= 0 && !StandsAlone(trie, parent, gap) &&
                       strata_[stratum_of_[parent]].mass < gap;
    if (!joins) strata_.emplace_back();
    const auto stratum = joins ? stratum_of_[parent] : static_cast<int32_t>(strata_.size()) - 1;
    Stratum& to = strata_[stratum];
    stratum_of_[node] = stratum;
    index_in_[node] = static_cast<int32_t>(to.nodes.size());
    to.nodes.push_back(node);
    reach_[node] = 1 - to.mass;
    to.mass += reach_[node] * trie[node].leave;
  }
}

int32_t Strata::LeavingNode(int32_t stratum, double uniform) const {
  const Stratum& from = strata_[stratum];
  double left = uniform * from.mass;
  int32_t last = from.nodes.front();
  for (int32_t node : from.nodes) {
    if (trie_[node].leave == 0) continue;
    last = node;
    left -= reach_[node] * trie_[node].leave;
    if (left < 0) break;
  }
  return last;
}

double Strata::Cost(int32_t stratum) const { return height_[strata_[stratum].nodes.front()]; }

Estimate Strata::Left(int32_t stratum) const {
  Estimate sum;
  for (int32_t node : strata_[stratum].nodes) sum += trie_[node].left;
  return sum;
}

LinearEstimate Strata::WithoutToken(int32_t node) const {
  LinearEstimate sum;
  const int32_t parent = trie_[node].parent;
  const double scale = 1 / (1 - trie_[node].probability);
  sum.terms.push_back({scale * trie_[parent].leave, trie_[parent].left, stratum_of_[parent], 1,
                       GuessOf(trie_[parent].hints)});
  for (int32_t child : trie_[parent].children)
    if (child != node) AddValue(child, scale * trie_[child].probability, sum);
  return sum;
}

LinearEstimate Strata::Value(int32_t node) const {
  LinearEstimate sum;
  AddValue(node, 1, sum);
  return sum;
}

LinearEstimate Strata::Change(int32_t ancestor, int32_t node) const {
  LinearEstimate sum;
  const double passes = VisitBeside(
      ancestor, node, -1,
      [&](std::span<const int32_t> nodes, double weight) { AddTerm(nodes, weight, sum); },
      [&](int32_t end, double weight) { sum.constant += weight * trie_[end].success; });
  AddValue(node, 1 + passes, sum);
  return sum;
}

Strata::Completions Strata::CompletionsOf(int32_t node) const {
  Completions of;
  Visit(
      node, 1,
      [&](std::span<const int32_t> nodes, double weight) {
        of.leaving.push_back({weight, nodes});
      },
      [&](int32_t end, double weight) {
        of.ended.push_back({weight, end});
      });
  return of;
}

Strata::Completions Strata::CompletionsBeside(int32_t ancestor, int32_t node) const {
  Completions of;
  VisitBeside(
      ancestor, node, 1,
      [&](std::span<const int32_t> nodes, double weight) {
        of.leaving.push_back({weight, nodes});
      },
      [&](int32_t end, double weight) {
        of.ended.push_back({weight, end});
      });
  return of;
}

std::span<const int32_t> Strata::From(int32_t node) const {
  return std::span<const int32_t>(strata_[stratum_of_[node]].nodes).subspan(index_in_[node]);
}

void Strata::AddValue(int32_t node, double weight, LinearEstimate& sum) const {
  Visit(
      node, weight, [&](std::span<const int32_t> nodes, double at) { AddTerm(nodes, at, sum); },
      [&](int32_t end, double at) { sum.constant += at * trie_[end].success; });
}

void Strata::AddTerm(std::span<const int32_t> nodes, double weight, LinearEstimate& sum) const {
  Estimate left, hints;
  for (const int32_t node : nodes) {
    left += trie_[node].left;
    hints += trie_[node].hints;
  }
  sum.terms.push_back(
      {weight, left, stratum_of_[nodes.front()], FractionAt(nodes), GuessOf(hints)});
}

template <typename Leave, typename End>
void Strata::Visit(int32_t node, double weight, const Leave& leave, const End& end) const {
  while (!trie_[node].ends) {
    const auto members = From(node);
    const double passes = VisitLeaving(members, weight, leave);
    const auto& children = trie_[members.back()].children;
    if (children.size() == 1) {
      weight *= passes;
      node = children[0];
      continue;
    }
    for (int32_t child : children) Visit(child, weight * trie_[child].probability, leave, end);
    return;
  }
  end(node, weight);
}

template <typename Leave, typename End>
double Strata::VisitBeside(int32_t ancestor, int32_t node, double weight, const Leave& leave,
                           const End& end) const {
  std::vector<int32_t> path;  // from the ancestor to the parent of the node
  for (int32_t at = node; at != ancestor; at = trie_[at].parent) path.push_back(trie_[at].parent);
  std::reverse(path.begin(), path.end());
  for (std::size_t i = 0; i < path.size();) {  // `weight` is that of reaching path[i]
    auto members = From(path[i]);
    members = members.first(std::min(members.size(), path.size() - i));
    const int32_t next = i + members.size() < path.size() ? path[i + members.size()] : node;
    const double passes = VisitLeaving(members, weight, leave);
    for (int32_t child : trie_[members.back()].children)
      if (child != next) Visit(child, weight * trie_[child].probability, leave, end);
    weight *= members.size() == 1 ? trie_[next].probability : passes;
    i += members.size();
  }
  return weight;
}

template <typename Leave>
double Strata::VisitLeaving(std::span<const int32_t> nodes, double weight,
                            const Leave& leave) const {
  double passes = 1;
  while (!nodes.empty()) {
    const auto start = std::find_if(nodes.begin() + 1, nodes.end(), [this](int32_t node) {
      return trie_[node].started.samples > 0;
    });
    const auto part = nodes.first(static_cast<std::size_t>(start - nodes.begin()));
    nodes = nodes.subspan(part.size());
    double passes_part = 1;
    for (int32_t node : part) passes_part *= 1 - trie_[node].leave;
    if (passes_part < 1) leave(part, weight * passes * (1 - passes_part));
    passes *= passes_part;
  }
  return passes;
}

double Strata::FractionAt(std::span<const int32_t> nodes) const {
  double leaves = 0;
  for (int32_t node : nodes) leaves += reach_[node] * trie_[node].leave;
  return leaves / strata_[stratum_of_[nodes.front()]].mass;
}

}  // namespace pivotal::pts
