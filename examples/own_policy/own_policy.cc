// Apache-2.0. A search with a policy and an oracle of one's own: nothing of LibTorch, no model folder.
#include <cmath>
#include <cstdio>
#include <map>

#include "kernels/philox.h"
#include "pts/search.h"

using namespace pivotal;
// Thinks (1), then hurries (2) or takes care (3), then is right (4) or wrong (5), then ends (0).
const std::map<TokenId, std::map<TokenId, double>> kNext = {
    {1, {{1, 0.5}, {2, 0.25}, {3, 0.25}}}, {2, {{4, 0.1}, {5, 0.9}}}, {3, {{4, 0.9}, {5, 0.1}}}, {4, {{0, 1}}}, {5, {{0, 1}}}};

class Walk : public model::Policy {
 public:
  std::vector<std::vector<model::Rollout>> Sample(std::span<const model::RolloutRequest> requests, const Progress&,
                                                  const model::RolloutSink& finished) override {
    std::vector<std::vector<model::Rollout>> all(requests.size());
    for (std::size_t r = 0; r < requests.size(); ++r)
      for (int32_t i = 0; i < requests[r].count; ++i) {
        all[r].push_back(One(requests[r], requests[r].first_rollout + static_cast<uint32_t>(i)));
        if (finished) finished(r, i, all[r].back());
      }
    return all;
  }
  std::vector<model::TokenScore> Score(std::span<const TokenId>, std::span<const TokenId>) override { return {}; }
  const model::RolloutCounters& counters() const override { return counters_; }

 private:
  static model::Rollout One(const model::RolloutRequest& request, uint32_t rollout) {
    model::Rollout result;
    for (TokenId last = request.prefix.back(); last != 0; last = result.tokens.back()) {
      auto choices = kNext.at(last);
      double left = 0;
      if (result.tokens.empty()) for (TokenId token : request.excluded) choices.erase(token);
      for (const auto& [token, p] : choices) left += p;
      left *= kernels::Uniform(1, request.stream, rollout, static_cast<uint32_t>(result.tokens.size()));
      auto drawn = choices.begin();
      while ((left -= drawn->second) >= 0 && std::next(drawn) != choices.end()) ++drawn;
      result.tokens.push_back(drawn->first);
      result.logprobs.push_back(static_cast<float>(std::log(kNext.at(last).at(drawn->first))));
    }
    return result;
  }
  model::RolloutCounters counters_;
};

int main() {
  Walk policy;
  Progress quiet;
  const std::vector<pts::Query> queries = {{"walk", "Which way?", "right", {1}}};
  const auto is_right = [](const pts::Query&, std::span<const TokenId> response) { return response[response.size() - 2] == 4; };
  pts::Search(queries, policy, is_right, pts::SearchOptions{}, [](const std::vector<data::QueryTrace>& traces) {
    for (const data::ResponseTrace& response : traces[0].responses)
      for (const data::PivotalToken& token : response.pivotal)
        std::printf("token %d at %d: p(success) %.2f -> %.2f\n", response.tokens[token.position - 1], token.position,
                    token.before, token.after);
  }, quiet);
}
