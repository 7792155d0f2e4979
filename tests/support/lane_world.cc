// Apache-2.0.
#include "tests/support/lane_world.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/error.h"
#include "kernels/philox.h"

namespace pivotal::testing {
namespace {

constexpr int32_t kWords = 3;  // that mean the same

// Positive weights that sum to `total`.
std::vector<double> Shares(kernels::RandomStream& random, int32_t count, double total) {
  std::vector<double> shares;
  for (int32_t i = 0; i < count; ++i) shares.push_back(-std::log1p(-random.Uniform()) + 0.02);
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share *= total / sum;
  return shares;
}

class Builder {
 public:
  explicit Builder(const LaneWorldOptions& options)
      : options_(options), random_(options.seed, kernels::MixStream(0, "lane world")) {}

  TokenId Id(int32_t step, int32_t lane, int32_t word) const {
    return 1 + (step * options_.lanes + lane) * kWords + word;
  }
  TokenId End(bool right) const { return Id(options_.length - 1, 0, 0) + (right ? 0 : 1); }

  enum class Kind { kPlain, kSwitch, kWords };
  Kind DrawKind() {
    if (random_.Uniform() >= options_.forks) return Kind::kPlain;
    const double share = options_.switches / (options_.forks * options_.length);
    return random_.Uniform() < share ? Kind::kSwitch : Kind::kWords;
  }

  // What follows `lane` at `step`.
  std::vector<LaneWorld::Move> Row(Kind kind, int32_t step, int32_t lane) {
    std::vector<LaneWorld::Move> row;
    if (kind == Kind::kWords) {
      const auto shares = Shares(random_, kWords, 1.0);
      for (int32_t word = 0; word < kWords; ++word)
        row.push_back({Id(step, lane, word), shares[word]});
      return row;
    }
    const double others = kind == Kind::kSwitch ? 0.15 + 0.55 * random_.Uniform()
                                                : std::pow(10.0, -1.3 - 2.7 * random_.Uniform());
    const auto shares = Shares(random_, options_.lanes - 1, others);
    int32_t at = 0;
    for (int32_t to = 0; to < options_.lanes; ++to)
      row.push_back({Id(step, to, 0), to == lane ? 1 - others : shares[at++]});
    return row;
  }

  int32_t DrawLane() { return static_cast<int32_t>(random_.Below(options_.lanes)); }

 private:
  const LaneWorldOptions& options_;
  kernels::RandomStream random_;
};

}  // namespace

LaneWorld::LaneWorld(const LaneWorldOptions& options) {
  Builder builder(options);
  moves_.resize(builder.End(false) + 1);
  moves_[0] = builder.Row(Builder::Kind::kSwitch, 0, builder.DrawLane());
  for (int32_t step = 1; step < options.length - 1; ++step) {
    const auto kind = builder.DrawKind();
    for (int32_t lane = 0; lane < options.lanes; ++lane) {
      const auto row = builder.Row(kind, step, lane);
      for (int32_t word = 0; word < kWords; ++word) moves_[builder.Id(step - 1, lane, word)] = row;
    }
  }
  for (int32_t lane = 0; lane < options.lanes; ++lane)
    for (int32_t word = 0; word < kWords; ++word)
      moves_[builder.Id(options.length - 2, lane, word)] = {{builder.End(lane % 2 == 0), 1.0}};
  // Tokens only lead to larger ones.
  success_.assign(moves_.size(), 0.0);
  success_[builder.End(true)] = 1;
  for (auto token = static_cast<TokenId>(moves_.size()) - 3; token >= 0; --token)
    for (const Move& move : moves_[token])
      success_[token] += move.probability * success_[move.token];
}

std::span<const LaneWorld::Move> LaneWorld::Moves(TokenId last) const { return moves_[last]; }

model::Rollout LanePolicy::SampleOne(const model::RolloutRequest& request, uint32_t rollout) const {
  model::Rollout result;
  result.finish = data::FinishReason::kLength;
  TokenId last = request.prefix.back();
  for (int32_t position = 0; position < request.max_new_tokens; ++position) {
    const auto allowed = [&](TokenId token) {
      return position > 0 || std::ranges::find(request.excluded, token) == request.excluded.end();
    };
    double mass = 0;
    for (const auto& move : world_.Moves(last)) mass += allowed(move.token) ? move.probability : 0;
    double left = mass * kernels::Uniform(seed_, request.stream, rollout, position);
    const LaneWorld::Move* next = nullptr;
    for (const auto& move : world_.Moves(last)) {
      if (!allowed(move.token)) continue;
      next = &move;
      if ((left -= move.probability) < 0) break;
    }
    if (next == nullptr) Fail("lane policy: no token is left to draw");
    result.tokens.push_back(next->token);
    result.logprobs.push_back(static_cast<float>(std::log(next->probability)));
    last = next->token;
    if (world_.IsEnd(last)) {
      result.finish = data::FinishReason::kEos;
      break;
    }
  }
  return result;
}

std::vector<std::vector<model::Rollout>> LanePolicy::Sample(
    std::span<const model::RolloutRequest> requests, const Progress& progress,
    const model::RolloutSink& finished) {
  std::vector<std::vector<model::Rollout>> results;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    if (progress.StopRequested()) throw Interrupted("sampling stopped");
    const model::RolloutRequest& request = requests[r];
    auto& rollouts = results.emplace_back();
    for (int32_t i = 0; i < request.count; ++i) {
      rollouts.push_back(SampleOne(request, request.first_rollout + i));
      counters_.decoded_tokens += static_cast<int64_t>(rollouts.back().tokens.size());
      if (finished) finished(r, i, rollouts.back());
    }
    counters_.rollouts += request.count;
    counters_.prefilled_tokens += static_cast<int64_t>(request.prefix.size());
  }
  counters_.seconds = 1e-6 * static_cast<double>(counters_.decoded_tokens);
  return results;
}

std::vector<model::TokenScore> LanePolicy::Score(std::span<const TokenId> prefix,
                                                 std::span<const TokenId> continuation) {
  std::vector<model::TokenScore> scores;
  TokenId last = prefix.back();
  for (TokenId token : continuation) {
    model::TokenScore score;
    double best = 0;
    for (const auto& move : world_.Moves(last)) {
      if (move.token == token) score.logprob = static_cast<float>(std::log(move.probability));
      if (move.token == token || move.probability <= best) continue;
      best = move.probability;
      score.runner_up = move.token;
    }
    score.runner_up_logprob = static_cast<float>(std::log(best));
    scores.push_back(score);
    last = token;
  }
  return scores;
}

}  // namespace pivotal::testing
