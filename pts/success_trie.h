// Apache-2.0. A trie of one query's responses with the counts of all its rollouts.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "pivotal/tokenizer.h"
#include "pivotal/trace.h"
#include "pts/estimate.h"

namespace pivotal::pts {

// The responses that a search studies, as a trie, with the counts of the rollouts that left them.
//
// A node is a prefix P_k: the prompt, then the tokens t_1..t_k of a response; the root P_0 is the
// prompt alone. pi_k is the policy's probability of t_k after P_(k-1), and p(P) is the probability
// that a rollout from P succeeds.
//
// A rollout follows the responses for a while and leaves them at exactly one node. What it does
// from there on is a sample of
//
//   q(P) = p(success | the token after P is none of P's children),
//
// whichever node it started from. So every rollout counts, also one that started elsewhere or along
// another response:
//
//   p(P) = sum over children c of pi_c p(P c)  +  leave(P) q(P),   leave(P) = 1 - sum of pi_c.
class SuccessTrie {
 public:
  // Rollouts that left a node with one particular token.
  struct Branch {
    float logprob = 0;  // natural logarithm of the token's probability under the policy
    Estimate estimate;  // outcomes of the rollouts
  };
  struct Node {
    int32_t parent = -1;     // -1 for the root
    int32_t depth = 0;       // k: number of response tokens in the prefix
    TokenId token = -1;      // t_k
    double probability = 1;  // pi_k under the sampling policy
    std::vector<int32_t> children;
    double leave = 1;  // probability that no child's token follows; 0 where a response ends
    bool ends = false, success = false;  // a response ends here, with this verdict
    int32_t response = 0;                // index of the first response through this node
    Estimate left;                       // rollouts that left the responses here: a sample of q(P)
    Estimate hints;    // kHint rollouts that left here: what to guess q(P) to be without samples
    Estimate started;  // free rollouts that started here: a direct sample of p(P)
    int32_t leaving_starts = 0;          // rollouts that started here with the children excluded
    std::map<TokenId, Branch> branches;  // the rollouts in `left` by the token with which they left
  };

  // Adds a response with its verdict; returns its index. `logprobs`: natural logarithms under the
  // sampling policy, one for each token. Throws Error for a response that is there already or goes
  // on where another ends, and after the first rollout.
  int32_t AddResponse(std::span<const TokenId> tokens, std::span<const float> logprobs,
                      bool success);
  // How the first token of a rollout was chosen.
  enum class Start {
    kFree,     // sampled from the policy
    kLeaving,  // sampled from the policy with the node's children excluded
    kHint,     // sampled from the policy; its verdict helped to decide that the query is searched,
               // so that it is no independent sample: it counts in Node::hints alone
  };
  // Counts a rollout that continues the prefix of `node` with `tokens`.
  void AddRollout(int32_t node, std::span<const TokenId> tokens, std::span<const float> logprobs,
                  bool success, Start start = Start::kFree);

  int32_t size() const { return static_cast<int32_t>(nodes_.size()); }
  const Node& operator[](int32_t node) const { return nodes_[node]; }
  // Returns the child of `node` along `token`; -1 for none.
  int32_t Child(int32_t node, TokenId token) const;
  // Returns the nodes P_0..P_n of a response.
  std::span<const int32_t> Path(int32_t response) const { return paths_[response]; }
  int32_t responses() const { return static_cast<int32_t>(paths_.size()); }
  // Returns the mean number of tokens of a response.
  double MeanLength() const;
  // Returns true if abs(d) of the node's token may reach `gap`: it is at most 1 - pi.
  bool CanBePivotal(int32_t node, double gap) const { return 1 - nodes_[node].probability >= gap; }

 private:
  std::vector<Node> nodes_ = std::vector<Node>(1);
  std::vector<std::vector<int32_t>> paths_;
  bool has_rollouts_ = false;
};

// Adds a rollout of the search of a query to its trie. The fresh rollouts that measure the sides of
// a pair (RolloutTrace::forced) are left out: they test what the search has found.
void AddRollout(const RolloutTrace& rollout, SuccessTrie& trie);

// Returns the trie that the search of a stored query had at its end. The rollouts of the prompt
// (RolloutKind::kQuery) decided by their verdicts that the query is searched, and which of them
// became responses. So those up to the last response are left out, and the others are hints. In
// traces of older versions the others count as free rollouts, as their estimates say.
SuccessTrie TrieOf(const QueryTrace& trace);

// Returns the node at which each rollout of a stored query left the responses of TrieOf(trace); -1
// for those that Node::left does not count: they repeat a response, are hints or are left out.
std::vector<int32_t> LeavingNodes(const QueryTrace& trace, const SuccessTrie& trie);

}  // namespace pivotal::pts
