// Apache-2.0. Other people's methods, written again as small as they allow, to compare searches
// with. They see the policy and the rollouts of the prompt, as a search does.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bench/search_score.h"
#include "pivotal/policy.h"
#include "pivotal/search.h"
#include "pivotal/trace.h"
#include "pts/estimate.h"
#include "pts/success_trie.h"

namespace pivotal::bench {

// Draws and counts the rollouts of one query. A rollout is drawn once for each prefix, whoever asks
// for it: responses share what they begin with.
class RolloutSource {
 public:
  // `trace` is that of a search that drew the prompt's rollouts alone (StrategyKind::kNone). All
  // arguments must outlive the source.
  RolloutSource(const QueryTrace& trace, Policy& policy, const Judge& judge,
                int32_t max_new_tokens);

  // Returns the outcomes of `count` rollouts from P_k, k = `position`, of a response; those drawn
  // before count. For k = 0 it returns those of the prompt's rollouts, for k = n the verdict.
  pts::Estimate Free(int32_t response, int32_t position, int32_t count);
  // Returns the tokens with which `count` rollouts from P_(k-1) continue in place of t_k, with the
  // outcomes. None if the policy is sure of t_k.
  std::map<TokenId, pts::SuccessTrie::Branch> Aside(int32_t response, int32_t position,
                                                    int32_t count);
  // Returns the outcomes of `count` fresh rollouts from P_(k-1) and `token`.
  pts::Estimate Fresh(int32_t response, int32_t position, TokenId token, int32_t count);

 private:
  enum class Purpose : uint64_t { kFree = 1, kAside, kFresh };
  struct Drawn {
    pts::Estimate all;
    std::map<TokenId, pts::SuccessTrie::Branch> first;  // by the first token
  };
  const Drawn& Draw(Purpose purpose, const std::vector<TokenId>& path, int32_t count,
                    const std::vector<TokenId>& excluded);
  std::vector<TokenId> Path(int32_t response, int32_t tokens) const;

  const QueryTrace& trace_;
  Policy& policy_;
  const Judge& judge_;
  int32_t max_new_tokens_;
  Query query_;
  std::set<TokenId> ends_;  // tokens that ended a rollout
  std::map<std::pair<Purpose, std::vector<TokenId>>, Drawn> drawn_;
};

// What a method reports about a response.
struct Report {
  int32_t position = 0;              // k: the token is t_k
  double after = 0;                  // estimate of p_k
  bool raised = false;               // whether t_k raised p
  SearchScore::Sentence sentence{};  // that it lies in, for methods that report sentences
};

// OmegaPRM's search for the first error of a wrong response (Luo et al., arXiv 2406.06592, section
// 3.2): a binary search for the first token from which none of `rollouts` rollouts succeeds, while
// one from the token before did. The paper takes 8. It reports nothing about right responses. The
// tree that OmegaPRM grows around this search is left out.
std::vector<Report> FirstError(const QueryTrace& trace, int32_t response, RolloutSource& source,
                               int32_t rollouts);

// Thought anchors (Bogdan et al., arXiv 2506.19143) with the adaptive stopping of
// github.com/vabruzzo/frugal-thought-anchors: rollouts from the ends of all sentences in batches of
// 10, up to `most` (there: 100) each. Those at the ends of a sentence stop once the 95% interval of
// the change of p over it lies beyond the gap or within it. A sentence is a run of 15 tokens. What
// has not been decided then goes by the means. With `stride` above 1 only every stride-th end is
// measured first, and the others where p may change by the gap between two measured ones (there:
// 3). Thresholds are ours, as we know that project by its description alone. The token reported for
// a sentence is the one of lowest probability.
std::vector<Report> AdaptiveAnchors(const QueryTrace& trace, int32_t response,
                                    RolloutSource& source, int32_t most, int32_t stride);

// The contrastive scores of cDPO (Lin et al., arXiv 2411.19943): log p+(t_k) - log p-(t_k), with p+
// and p- the next-token distributions of models trained on right and on wrong responses. Counts
// stand for the trained models: p+(t | the token before) is the share among the prompt's right
// rollouts, with one count in proportion to the policy's probability added. Tokens of a TableWorld
// name their state, so that these are the conditional policies given the verdict, up to sampling.
// The responses themselves are left out. Reports the tokens whose score is `least` or more, or
// -least or less; a change of p from 1/2 by the gap has a score of 0.85.
std::vector<Report> ContrastiveScores(const QueryTrace& trace, int32_t response, double least);

// Writes the reports of a response into its trace, each with the other side of its pair, which is
// picked as a search picks it from `aside` rollouts, and `confirm` fresh rollouts of both sides.
void AddSides(const std::vector<Report>& reports, int32_t response, int32_t aside, int32_t confirm,
              RolloutSource& source, QueryTrace& trace);

}  // namespace pivotal::bench
