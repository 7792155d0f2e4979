// Apache-2.0. Measures p_k and d_k along 20 responses of the tiny model, one for each of the first
// problems with p_0 in [0.2, 0.8]. tests/support/tiny_truth.h defines q_k and how p and d follow
// from it.
//
//   tiny_truth OUTPUT.jsonl
//
// Each position with 1 - pi_k >= 0.1 gets 10,000 rollouts, other positions 10,000 (1 - pi_k). The
// first token of a rollout is never t_k, so that rollouts are samples of q_k. Free rollouts from
// the prefix before t_k would mostly repeat the response; these tell more and start where they
// differ. Rollouts that are equal so far are decoded once (bench/merged_rollouts.h).
//
// OUTPUT grows by one response at a time. The program continues an OUTPUT that exists already.
#include "tests/support/tiny_truth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "bench/merged_rollouts.h"
#include "data/base/error.h"
#include "data/base/folders.h"
#include "experiments/settings/loading.h"
#include "kernels/philox.h"
#include "model/checkpoint.h"
#include "pts/judging.h"

namespace pivotal::bench {
namespace {

using testing::TinyTruth;
using testing::TrueResponse;

constexpr std::size_t kResponses = 20;
constexpr double kRollouts = 10'000, kFork = 0.1;
constexpr int32_t kPrompt = 32;   // rollouts of a prompt that estimate p_0 to choose problems
constexpr int32_t kFree = 2'000;  // rollouts of a prompt to check its p_0 by
constexpr uint64_t kSeed = 1'000'003;
constexpr double kLeast = 1e-6;  // smallest 1 - pi that float32 tells from 0

class Measurement {
 public:
  Measurement(const experiments::LoadedModel& model, const Oracle& oracle, TinyTruth& truth)
      : model_(model.phi()),
        truth_(truth),
        engine_(model_, Engine(truth)),
        judge_(MakeJudge(model.tokenizer(), oracle)) {}

  // Measures a response of `query`, unless its p_0 is outside [0.2, 0.8].
  void Add(const Query& query) {
    const auto drawn = FreeRollouts(query, kPrompt, "choose");
    const double p = Judged(query, drawn).Mean();
    if (p < 0.2 || p > 0.8) return;
    TrueResponse response;
    response.id = query.id;
    response.tokens = drawn[0].tokens;
    response.success = judge_(query, response.tokens);
    for (const TokenScore& score : engine_.Score(query.prompt, response.tokens))
      response.logprobs.push_back(score.logprob);
    response.free = Judged(query, FreeRollouts(query, kFree, "free"));
    MeasureAside(query, response);
    testing::DerivePath(response);
    truth_.responses.push_back(std::move(response));
  }
  int64_t tokens() const { return merged_ + engine_.counters().decoded_tokens; }

 private:
  static model::EngineOptions Engine(const TinyTruth& truth) {
    model::EngineOptions options;
    options.sampling.temperature = truth.temperature;
    options.seed = truth.seed;
    return options;
  }

  void MeasureAside(const Query& query, TrueResponse& response) {
    const std::span<const TokenId> tokens = response.tokens;
    std::vector<RolloutRequest> requests;
    std::vector<std::size_t> positions;
    for (std::size_t k = 0; k < tokens.size(); ++k) {
      const double leave = -std::expm1(double{response.logprobs[k]});
      if (leave < kLeast) continue;
      const double count = leave < kFork ? std::ceil(kRollouts * leave) : kRollouts;
      positions.push_back(k);
      requests.push_back(Request(query, tokens.first(k), static_cast<int32_t>(count), "aside"));
      requests.back().excluded = {tokens[k]};
    }
    response.aside.resize(tokens.size());
    merged_ += SampleMerged(
        model_, Engine(truth_).sampling, truth_.seed, requests,
        [&](std::size_t request, std::span<const TokenId> sampled, int32_t count) {
          std::vector<TokenId> whole(tokens.begin(), tokens.begin() + positions[request]);
          whole.insert(whole.end(), sampled.begin(), sampled.end());
          response.aside[positions[request]] += {count, judge_(query, whole) ? count : 0};
        });
  }

  RolloutRequest Request(const Query& query, std::span<const TokenId> path, int32_t count,
                         std::string_view purpose) const {
    RolloutRequest request;
    request.prefix = query.prompt;
    request.prefix.insert(request.prefix.end(), path.begin(), path.end());
    request.count = count;
    request.max_new_tokens = truth_.max_new_tokens - static_cast<int32_t>(path.size());
    request.stream = kernels::MixStream(
        kernels::MixStream(kernels::MixStream(0, purpose), query.id), path.size());
    return request;
  }

  // Samples rollouts of the prompt.
  std::vector<Rollout> FreeRollouts(const Query& query, int32_t count, std::string_view purpose) {
    const auto request = Request(query, {}, count, purpose);
    return engine_.Sample({&request, 1}, Progress())[0];
  }

  pts::Estimate Judged(const Query& query, const std::vector<Rollout>& rollouts) const {
    pts::Estimate estimate;
    for (const Rollout& rollout : rollouts) estimate.Add(judge_(query, rollout.tokens));
    return estimate;
  }

  const model::PhiModel& model_;
  TinyTruth& truth_;
  model::RolloutEngine engine_;
  Judge judge_;
  int64_t merged_ = 0;  // tokens decoded by SampleMerged
};

void Run(const std::filesystem::path& output) {
  const std::filesystem::path tiny = PIVOTAL_SOURCE_DIR "/experiments/tiny";
  TinyTruth truth;
  truth.command = "tiny_truth tests/experiments/tiny/tiny_truth.jsonl";
  truth.weights_sha256 = model::WeightsFingerprint(tiny / "model");
  truth.seed = kSeed;
  if (data::Exists(output)) {
    const TinyTruth before = testing::LoadTinyTruth(output);
    if (before.weights_sha256 != truth.weights_sha256)
      Fail("{}: was measured on other weights; remove it", output.string());
    truth = before;
  }
  ModelSettings settings;
  settings.folder = tiny / "model";
  const auto model = experiments::LoadModel(settings);
  const auto oracle = MakeOracle("hash");
  const auto queries =
      experiments::MakeQueries(LoadProblems(tiny / "problems" / "train.jsonl"), model);
  Measurement measurement(model, *oracle, truth);
  // Continues after the last problem that the output holds.
  auto query = queries.begin();
  if (!truth.responses.empty())
    query = std::ranges::find(queries, truth.responses.back().id, &Query::id) + 1;
  for (; query != queries.end() && truth.responses.size() < kResponses; ++query) {
    measurement.Add(*query);
    testing::SaveTinyTruth(truth, output);
    fmt::print(stderr, "{}: {} responses, {} tokens generated\n", query->id, truth.responses.size(),
               measurement.tokens());
  }
}

}  // namespace
}  // namespace pivotal::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: tiny_truth OUTPUT.jsonl\n");
    return 2;
  }
  try {
    pivotal::bench::Run(argv[1]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "tiny_truth: {}\n", error.what());
    return 1;
  }
}
