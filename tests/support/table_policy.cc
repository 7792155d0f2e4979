// Apache-2.0.
#include "tests/support/table_policy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "data/base/error.h"
#include "kernels/philox.h"

namespace pivotal::testing {

Rollout TablePolicy::SampleOne(const RolloutRequest& request, uint32_t rollout) const {
  Rollout result;
  result.finish = FinishReason::kLength;
  TokenId last = request.prefix.back();
  for (int32_t position = 0; position < request.max_new_tokens; ++position) {
    const auto allowed = [&](TokenId token) {
      return position > 0 || std::ranges::find(request.excluded, token) == request.excluded.end();
    };
    double mass = 0;
    for (const Move& move : Moves(last)) mass += allowed(move.token) ? move.probability : 0;
    double left = mass * kernels::Uniform(seed_, request.stream, rollout, position);
    const Move* next = nullptr;  // after rounding, the last allowed move
    for (const Move& move : Moves(last)) {
      if (!allowed(move.token)) continue;
      next = &move;
      if ((left -= move.probability) < 0) break;
    }
    if (next == nullptr) Fail("table policy: all next tokens are excluded");
    result.tokens.push_back(next->token);
    result.logprobs.push_back(static_cast<float>(std::log(next->probability)));
    last = next->token;
    if (IsEnd(last)) {
      result.finish = FinishReason::kEos;
      break;
    }
    if (!request.stop) continue;
    std::vector<TokenId> response(request.prefix.end() - request.response_tokens,
                                  request.prefix.end());
    response.insert(response.end(), result.tokens.begin(), result.tokens.end());
    if (request.stop(response)) {
      result.finish = FinishReason::kStop;
      break;
    }
  }
  return result;
}

std::vector<std::vector<Rollout>> TablePolicy::Sample(std::span<const RolloutRequest> requests,
                                                      const Progress& progress,
                                                      const RolloutSink& finished) {
  std::vector<std::vector<Rollout>> results;
  for (const RolloutRequest& request : requests) {
    if (progress.StopRequested()) throw Interrupted("sampling stopped");
    Note(request);
    auto& rollouts = results.emplace_back();
    for (int32_t i = 0; i < request.count; ++i) {
      rollouts.push_back(SampleOne(request, request.first_rollout + static_cast<uint32_t>(i)));
      counters_.decoded_tokens += static_cast<int64_t>(rollouts.back().tokens.size());
      if (finished) finished(results.size() - 1, i, rollouts.back());
    }
    counters_.rollouts += request.count;
    counters_.prefilled_tokens += static_cast<int64_t>(request.prefix.size());
  }
  counters_.seconds = 1e-6 * static_cast<double>(counters_.decoded_tokens);
  return results;
}

std::vector<TokenScore> TablePolicy::Score(std::span<const TokenId> prefix,
                                           std::span<const TokenId> continuation) {
  std::vector<TokenScore> scores;
  TokenId last = prefix.back();
  for (TokenId token : continuation) {
    TokenScore score;
    score.logprob = -std::numeric_limits<float>::infinity();
    double best = 0;
    for (const Move& move : Moves(last)) {
      score.entropy -= static_cast<float>(move.probability * std::log(move.probability));
      if (move.token == token) {
        score.logprob = static_cast<float>(std::log(move.probability));
      } else if (move.probability > best) {
        best = move.probability;
        score.runner_up = move.token;
      }
    }
    score.runner_up_logprob = static_cast<float>(std::log(best));
    scores.push_back(score);
    last = token;
  }
  return scores;
}

}  // namespace pivotal::testing
