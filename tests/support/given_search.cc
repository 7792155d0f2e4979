// Apache-2.0.
#include "tests/support/given_search.h"

#include <memory>

#include "kernels/philox.h"
#include "pts/curve.h"
#include "pts/outlook.h"

namespace pivotal::testing {
namespace {

using pts::Strategy;
using pts::SuccessTrie;

class Hunt {
 public:
  Hunt(const GivenResponse& given, const pts::SearchOptions& options)
      : given_(given), options_(options), stream_(kernels::MixStream(0, given.query.id)) {
    trie_.AddResponse(given.tokens, given.logprobs, given.success);
  }
  Hunt(const Hunt&) = delete;  // the strategy refers to the trie

  // Adds what it asks for next to `requests`.
  void Ask(std::vector<model::RolloutRequest>& requests) {
    if (trie_[0].started.samples == 0) {
      asks_ = {{0, false, options_.samples, 0}};
    } else {
      if (!strategy_) strategy_ = pts::MakeStrategy(trie_, options_, stream_);
      asks_ = strategy_->Next();
    }
    for (const Strategy::Ask& ask : asks_) requests.push_back(RequestFor(ask));
  }

  // Takes as many results as it has asked for.
  void Take(std::span<const std::vector<model::Rollout>>& results, const pts::Judge& judge) {
    for (const Strategy::Ask& ask : asks_) {
      const auto path = PathTo(ask.node);
      for (const model::Rollout& rollout : results.front()) {
        auto whole = path;
        whole.insert(whole.end(), rollout.tokens.begin(), rollout.tokens.end());
        trie_.AddRollout(ask.node, rollout.tokens, rollout.logprobs, judge(given_.query, whole),
                         ask.struck ? SuccessTrie::Start::kStruck : SuccessTrie::Start::kFree);
      }
      results = results.subspan(1);
    }
  }

  data::ResponseTrace Trace() const {
    data::ResponseTrace trace;
    trace.tokens = given_.tokens;
    trace.logprobs = given_.logprobs;
    trace.success = given_.success;
    const pts::Strata strata(trie_, options_.gap);
    const pts::Outlook outlook(trie_, strata, options_.gap, stream_);
    pts::FillCurve(trie_, strata, options_.confidence, 0, trace);
    for (int32_t node : strategy_->Pivotal()) {
      pts::AddPivotal(trie_, strata, options_.confidence, node,
                      strategy_->Value(trie_[node].parent), strategy_->Value(node), trace);
      trace.pivotal.back().probability = outlook.Pivotal(node);
    }
    return trace;
  }

 private:
  std::vector<TokenId> PathTo(int32_t node) const {
    return {given_.tokens.begin(), given_.tokens.begin() + trie_[node].depth};
  }

  model::RolloutRequest RequestFor(const Strategy::Ask& ask) const {
    const SuccessTrie::Node& node = trie_[ask.node];
    const auto path = PathTo(ask.node);
    model::RolloutRequest request;
    request.prefix = given_.query.prompt;
    request.prefix.insert(request.prefix.end(), path.begin(), path.end());
    request.count = ask.count;
    request.max_new_tokens = options_.max_new_tokens - node.depth;
    request.stream = kernels::MixStream(kernels::MixStream(stream_, path.size()),
                                        static_cast<uint64_t>(ask.struck));
    request.first_rollout =
        static_cast<uint32_t>(ask.struck ? node.struck : node.started.samples);
    if (ask.struck)
      for (int32_t child : node.children) request.excluded.push_back(trie_[child].token);
    return request;
  }

  const GivenResponse& given_;
  const pts::SearchOptions& options_;
  uint64_t stream_;
  SuccessTrie trie_;
  std::unique_ptr<Strategy> strategy_;  // made once the prompt's rollouts are there: it reads p_0
  std::vector<Strategy::Ask> asks_;
};

}  // namespace

std::vector<data::ResponseTrace> SearchGiven(std::span<const GivenResponse> given,
                                             model::Policy& policy, const pts::Judge& judge,
                                             const pts::SearchOptions& options) {
  std::vector<std::unique_ptr<Hunt>> hunts;
  for (const GivenResponse& one : given) hunts.push_back(std::make_unique<Hunt>(one, options));
  while (true) {
    std::vector<model::RolloutRequest> requests;
    for (const auto& hunt : hunts) hunt->Ask(requests);
    if (requests.empty()) break;
    const auto results = policy.Sample(requests, Progress());
    std::span<const std::vector<model::Rollout>> left = results;
    for (const auto& hunt : hunts) hunt->Take(left, judge);
  }
  std::vector<data::ResponseTrace> traces;
  for (const auto& hunt : hunts) traces.push_back(hunt->Trace());
  return traces;
}

}  // namespace pivotal::testing
