// Apache-2.0. All rollouts of one query in one structure.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "data/tokenizer.h"
#include "pts/estimator.h"

namespace pivotal::pts {

// The responses under study (trunks) as a trie, and the places where rollouts left it.
//
// A rollout that starts at a node, free or with the node's children struck out, follows the trunks
// for a while and leaves them at exactly one node. Given that, what comes after is a sample of
//
//   q(P) = p(success | the token after P is none of P's children),
//
// whatever the node at which it started, so all rollouts count, those of sibling responses too:
//
//   p(P) = sum over children c of pi_c p(P c)  +  leave(P) q(P),   leave(P) = 1 - sum of pi_c.
class SuccessTrie {
 public:
  // What rollouts that left a node with one token met.
  struct Branch {
    float logprob = 0;   // of the token under the policy; NaN where only forced rollouts saw it
    Estimate sampled;    // the policy drew the token
    Estimate forced;     // the token was given
  };
  struct Node {
    int32_t parent = -1;       // -1: the root, which stands for the prompt
    int32_t depth = 0;         // k: the node is P_k
    TokenId token = -1;        // t_k
    double probability = 1;    // pi_k
    std::vector<int32_t> children;
    double leave = 1;          // 0 where the response ends
    bool ends = false, success = false;
    int32_t response = 0;      // the first response that passes here
    Estimate left;             // rollouts that left the trunks here; samples of q
    Estimate started;          // free rollouts from here; samples of p(P) by themselves
    int32_t struck = 0;        // rollouts from here with the children excluded
    std::map<TokenId, Branch> branches;
  };

  // Adds a response with its verdict; returns its index. `logprobs` under the sampling policy.
  // Throws Error for one that is there already or goes on where another ends, and once rollouts have
  // been added.
  int32_t AddResponse(std::span<const TokenId> tokens, std::span<const float> logprobs,
                      bool success);
  // How a rollout's first token was drawn.
  enum class Start {
    kFree,         // from the policy
    kStruck,       // with the children of the node excluded
    kConditioned,  // from the policy, but a response was chosen by looking at this rollout too: it
                   // counts for p of the node alone
  };
  void AddRollout(int32_t node, std::span<const TokenId> tokens, std::span<const float> logprobs,
                  bool success, Start start = Start::kFree);
  // Counts a rollout from `node` whose first token `forced` was given; `tokens` follow it. Where
  // `forced` is a child of the node, it is a free rollout of the child.
  void AddForced(int32_t node, TokenId forced, std::span<const TokenId> tokens,
                 std::span<const float> logprobs, bool success);

  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }
  const Node& operator[](int32_t node) const { return nodes_[node]; }
  // The child of `node` along `token`; -1 for none.
  int32_t Child(int32_t node, TokenId token) const;
  // Nodes P_0..P_n of a response.
  std::span<const int32_t> Path(int32_t response) const { return paths_[response]; }
  int32_t responses() const { return static_cast<int32_t>(paths_.size()); }

 private:
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::vector<std::vector<int32_t>> paths_;
  bool has_rollouts_ = false;
};

}  // namespace pivotal::pts
