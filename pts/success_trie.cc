// Apache-2.0.
#include "pts/success_trie.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "data/base/error.h"

namespace pivotal::pts {
namespace {

// Returns 1 - the sum of the children's probabilities; 0 where float32 log-probabilities cannot
// tell the difference from 0.
double Leave(double probability_of_children) {
  constexpr double kRounding = 1e-6;
  const double leave = 1 - probability_of_children;
  return leave > kRounding ? leave : 0;
}

// Returns true if the estimates of a trace count rollouts of the prompt, as they once did: more
// rollouts from P_0 than the search drew there.
bool CountsPrompt(const QueryTrace& trace) {
  if (trace.responses.empty() || trace.responses[0].estimates.empty()) return false;
  const PrefixEstimate& first = trace.responses[0].estimates.front();
  const auto drawn = std::ranges::count_if(trace.rollouts, [](const RolloutTrace& rollout) {
    return rollout.kind == RolloutKind::kPrefix && rollout.position == 0;
  });
  return first.position == 0 && first.samples > drawn;
}

// Returns the number of rollouts, which begin with those of the prompt, up to the last one that
// became a response.
std::ptrdiff_t RolloutsToLastResponse(const QueryTrace& trace) {
  std::ptrdiff_t count = 0;
  for (const ResponseTrace& response : trace.responses) {
    const auto drawn = std::ranges::find_if(trace.rollouts, [&](const RolloutTrace& rollout) {
      return rollout.kind == RolloutKind::kQuery && rollout.tokens == response.tokens;
    });
    count = std::max(count, drawn - trace.rollouts.begin() + 1);
  }
  return count;
}

// Returns how the first token of a rollout of the search was chosen; nullopt for a fresh rollout of
// a pair.
std::optional<SuccessTrie::Start> StartOf(const RolloutTrace& rollout) {
  if (rollout.forced >= 0) return std::nullopt;
  if (rollout.kind == RolloutKind::kQuery) return SuccessTrie::Start::kHint;
  if (rollout.kind == RolloutKind::kLeaving) return SuccessTrie::Start::kLeaving;
  return SuccessTrie::Start::kFree;
}

int32_t NodeOf(const RolloutTrace& rollout, const SuccessTrie& trie) {
  if (rollout.response < 0) return 0;
  return trie.Path(rollout.response)[static_cast<std::size_t>(rollout.position)];
}

// Returns how each rollout of a stored query counts; nullopt for those that do not.
std::vector<std::optional<SuccessTrie::Start>> StartsOf(const QueryTrace& trace) {
  const bool counts_prompt = CountsPrompt(trace);
  std::ptrdiff_t choosing = RolloutsToLastResponse(trace);
  std::vector<std::optional<SuccessTrie::Start>> starts;
  for (const RolloutTrace& rollout : trace.rollouts) {
    auto start = StartOf(rollout);
    if (rollout.kind == RolloutKind::kQuery) {
      if (counts_prompt) start = SuccessTrie::Start::kFree;
      if (choosing > 0) start = std::nullopt;
    }
    --choosing;
    starts.push_back(start);
  }
  return starts;
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

double SuccessTrie::MeanLength() const {
  double length = 0;
  for (const auto& path : paths_) length += static_cast<double>(path.size() - 1) / responses();
  return length;
}

void SuccessTrie::AddRollout(int32_t node, std::span<const TokenId> tokens,
                             std::span<const float> logprobs, bool success, Start start) {
  has_rollouts_ = true;
  if (start == Start::kLeaving) ++nodes_[node].leaving_starts;
  if (start == Start::kFree) nodes_[node].started.Add(success);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const int32_t child = Child(node, tokens[i]);
    if (child >= 0) {
      node = child;
      continue;
    }
    if (start == Start::kHint) {
      nodes_[node].hints.Add(success);
      return;
    }
    Branch& branch = nodes_[node].branches[tokens[i]];
    branch.logprob = logprobs[i];
    branch.estimate.Add(success);
    nodes_[node].left.Add(success);
    return;
  }
  // The rollout repeated a response whose verdict is known: there is nothing to learn.
}

void AddRollout(const RolloutTrace& rollout, SuccessTrie& trie) {
  const auto start = StartOf(rollout);
  if (!start) return;
  trie.AddRollout(NodeOf(rollout, trie), rollout.tokens, rollout.logprobs, rollout.success, *start);
}

SuccessTrie TrieOf(const QueryTrace& trace) {
  SuccessTrie trie;
  for (const ResponseTrace& response : trace.responses)
    trie.AddResponse(response.tokens, response.logprobs, response.success);
  const auto starts = StartsOf(trace);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const RolloutTrace& rollout = trace.rollouts[i];
    if (starts[i])
      trie.AddRollout(NodeOf(rollout, trie), rollout.tokens, rollout.logprobs, rollout.success,
                      *starts[i]);
  }
  return trie;
}

std::vector<int32_t> LeavingNodes(const QueryTrace& trace, const SuccessTrie& trie) {
  const auto starts = StartsOf(trace);
  std::vector<int32_t> leaving(starts.size(), -1);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    if (!starts[i] || *starts[i] == SuccessTrie::Start::kHint) continue;
    int32_t node = NodeOf(trace.rollouts[i], trie);
    for (const TokenId token : trace.rollouts[i].tokens) {
      const int32_t child = trie.Child(node, token);
      if (child < 0) {
        leaving[i] = node;
        break;
      }
      node = child;
    }
  }
  return leaving;
}

}  // namespace pivotal::pts
