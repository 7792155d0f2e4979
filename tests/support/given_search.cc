// Apache-2.0.
#include "tests/support/given_search.h"

#include <memory>

#include "kernels/philox.h"
#include "pts/change_posterior.h"
#include "pts/response_trace.h"
#include "pts/strategy.h"
#include "pts/success_trie.h"

namespace pivotal::testing {
namespace {

using pts::Strategy;
using pts::SuccessTrie;

// The search of one given response.
class ResponseSearch {
 public:
  ResponseSearch(const GivenResponse& given, const SearchOptions& options)
      : given_(given), options_(options), stream_(kernels::MixStream(0, given.query.id)) {
    trie_.AddResponse(given.tokens, given.logprobs, given.success);
  }
  ResponseSearch(const ResponseSearch&) = delete;  // the strategy refers to the trie

  // Adds the rollouts that it needs next to `requests`.
  void AddRequests(std::vector<RolloutRequest>& requests) {
    if (trie_[0].started.samples == 0) {
      plans_ = {{0, false, options_.samples, 0}};
    } else {
      if (!strategy_) strategy_ = pts::MakeStrategy(trie_, options_, stream_);
      plans_ = strategy_->Next();
    }
    for (const Strategy::RolloutPlan& plan : plans_) requests.push_back(RequestFor(plan));
  }

  // Takes the results of its requests from the front of `results`.
  void TakeResults(std::span<const std::vector<Rollout>>& results, const Judge& judge) {
    for (const Strategy::RolloutPlan& plan : plans_) {
      const auto path = PathTo(plan.node);
      for (const Rollout& rollout : results.front()) {
        auto whole = path;
        whole.insert(whole.end(), rollout.tokens.begin(), rollout.tokens.end());
        trie_.AddRollout(plan.node, rollout.tokens, rollout.logprobs, judge(given_.query, whole),
                         plan.leaving ? SuccessTrie::Start::kLeaving : SuccessTrie::Start::kFree);
      }
      results = results.subspan(1);
    }
  }

  ResponseTrace Trace() const {
    ResponseTrace trace;
    trace.tokens = given_.tokens;
    trace.logprobs = given_.logprobs;
    trace.success = given_.success;
    const pts::Strata strata(trie_, options_.gap);
    const pts::ChangePosterior posterior(trie_, strata, options_.gap);
    pts::FillCurve(trie_, strata, options_.confidence, 0, trace);
    for (int32_t node : strategy_->Pivotal()) {
      pts::AddPivotal(trie_, strata, options_.confidence, node,
                      strategy_->Value(trie_[node].parent), strategy_->Value(node), trace);
      trace.pivotal.back().probability = posterior.PivotalProbability(node);
    }
    return trace;
  }

 private:
  std::vector<TokenId> PathTo(int32_t node) const {
    return {given_.tokens.begin(), given_.tokens.begin() + trie_[node].depth};
  }

  RolloutRequest RequestFor(const Strategy::RolloutPlan& plan) const {
    const SuccessTrie::Node& node = trie_[plan.node];
    const auto path = PathTo(plan.node);
    RolloutRequest request;
    request.prefix = given_.query.prompt;
    request.prefix.insert(request.prefix.end(), path.begin(), path.end());
    request.count = plan.count;
    request.max_new_tokens = options_.max_new_tokens - node.depth;
    request.stream = kernels::MixStream(kernels::MixStream(stream_, path.size()),
                                        static_cast<uint64_t>(plan.leaving));
    request.first_rollout =
        static_cast<uint32_t>(plan.leaving ? node.leaving_starts : node.started.samples);
    if (plan.leaving)
      for (int32_t child : node.children) request.excluded.push_back(trie_[child].token);
    return request;
  }

  const GivenResponse& given_;
  const SearchOptions& options_;
  uint64_t stream_;
  SuccessTrie trie_;
  std::unique_ptr<Strategy> strategy_;  // needs p_0, so it is made after the prompt's rollouts
  std::vector<Strategy::RolloutPlan> plans_;
};

}  // namespace

std::vector<ResponseTrace> SearchGiven(std::span<const GivenResponse> given, Policy& policy,
                                       const Judge& judge, const SearchOptions& options) {
  std::vector<std::unique_ptr<ResponseSearch>> searches;
  for (const GivenResponse& one : given)
    searches.push_back(std::make_unique<ResponseSearch>(one, options));
  while (true) {
    std::vector<RolloutRequest> requests;
    for (const auto& search : searches) search->AddRequests(requests);
    if (requests.empty()) break;
    const auto results = policy.Sample(requests, Progress());
    std::span<const std::vector<Rollout>> left = results;
    for (const auto& search : searches) search->TakeResults(left, judge);
  }
  std::vector<ResponseTrace> traces;
  for (const auto& search : searches) traces.push_back(search->Trace());
  return traces;
}

}  // namespace pivotal::testing
