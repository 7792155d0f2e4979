// Apache-2.0.
#include "pts/success_trie.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/error.h"

namespace pivotal::pts {
namespace {

// 1 - sum of the children's probabilities. What log-probabilities in float32 can't tell from 0 is 0.
double Leave(double probability_of_children) {
  constexpr double kRounding = 1e-6;
  const double leave = 1 - probability_of_children;
  return leave > kRounding ? leave : 0;
}

}  // namespace

int32_t SuccessTrie::Child(int32_t node, TokenId token) const {
  for (int32_t child : nodes_[node].children)
    if (nodes_[child].token == token) return child;
  return -1;
}

int32_t SuccessTrie::AddResponse(std::span<const TokenId> tokens, std::span<const float> logprobs,
                                 bool success) {
  if (has_rollouts_) Fail("success trie: a response came after rollouts");
  if (tokens.empty() || tokens.size() != logprobs.size())
    Fail("success trie: a response of {} tokens with {} log-probabilities", tokens.size(),
         logprobs.size());
  std::vector<int32_t> path = {0};
  for (std::size_t k = 0; k < tokens.size(); ++k) {
    if (nodes_[path.back()].ends) Fail("success trie: a response goes on where another ends");
    int32_t child = Child(path.back(), tokens[k]);
    if (child < 0) {
      child = size();
      Node node;
      node.parent = path.back();
      node.response = responses();
      node.depth = static_cast<int32_t>(k) + 1;
      node.token = tokens[k];
      node.probability = std::exp(static_cast<double>(logprobs[k]));
      nodes_.push_back(std::move(node));
      nodes_[path.back()].children.push_back(child);
    }
    path.push_back(child);
  }
  for (int32_t node : path) {
    double children = 0;
    for (int32_t child : nodes_[node].children) children += nodes_[child].probability;
    nodes_[node].leave = Leave(children);
  }
  Node& last = nodes_[path.back()];
  if (last.ends || !last.children.empty()) Fail("success trie: a response is there already");
  last.ends = true;
  last.success = success;
  last.leave = 0;
  paths_.push_back(std::move(path));
  return responses() - 1;
}

void SuccessTrie::AddRollout(int32_t node, std::span<const TokenId> tokens,
                             std::span<const float> logprobs, bool success, Start start) {
  has_rollouts_ = true;
  if (start == Start::kStruck)
    ++nodes_[node].struck;
  else
    nodes_[node].started.Add(success);
  if (start == Start::kConditioned) return;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const int32_t child = Child(node, tokens[i]);
    if (child >= 0) {
      node = child;
      continue;
    }
    Branch& branch = nodes_[node].branches[tokens[i]];
    branch.logprob = logprobs[i];
    branch.sampled.Add(success);
    nodes_[node].left.Add(success);
    return;
  }
  // It went all the way along a response, whose verdict is known: nothing to learn.
}

void SuccessTrie::AddForced(int32_t node, TokenId forced, std::span<const TokenId> tokens,
                            std::span<const float> logprobs, bool success) {
  has_rollouts_ = true;
  if (const int32_t child = Child(node, forced); child >= 0) {
    AddRollout(child, tokens, logprobs, success);
    return;
  }
  const auto [at, fresh] = nodes_[node].branches.try_emplace(forced);
  if (fresh) at->second.logprob = std::numeric_limits<float>::quiet_NaN();
  at->second.forced.Add(success);
}

}  // namespace pivotal::pts
