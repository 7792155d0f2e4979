// Apache-2.0. Measures p_k and d_k along 20 responses of the tiny model, one each of the first
// problems with p_0 in [0.2, 0.8]: 10,000 rollouts at each position with 1 - pi_k >= 0.1, at the
// others 10,000 (1 - pi_k), whose first token is not t_k. Those are samples of q_k, and p_k and d_k
// follow from the q and the verdict (tests/support/tiny_truth.h). A free rollout from P_(k-1) would
// mostly repeat the response; these never do, so each tells more and starts where it differs. Those
// that are equal so far are decoded once (bench/merged_rollouts.h).
//
//   tiny_truth OUTPUT.jsonl
//
// OUTPUT grows by a response at a time; where it is there already, the program goes on with it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "bench/merged_rollouts.h"
#include "data/error.h"
#include "experiments/run_config.h"
#include "kernels/philox.h"
#include "model/checkpoint.h"
#include "tests/support/tiny_truth.h"

namespace pivotal::bench {
namespace {

using testing::TinyTruth;
using testing::TrueResponse;

constexpr std::size_t kResponses = 20;
constexpr double kRollouts = 10'000, kFork = 0.1;
constexpr int32_t kPrompt = 32, kFree = 2'000;  // rollouts of the prompt: to choose it; to check p_0
constexpr uint64_t kSeed = 1'000'003;
constexpr double kLeast = 1e-6;  // float32 can't tell a smaller 1 - pi from 0

class Measurement {
 public:
  Measurement(const experiments::LoadedModel& model, const pts::Oracle& oracle, TinyTruth& truth)
      : model_(model.phi()),
        truth_(truth),
        engine_(model_, Engine(truth)),
        judge_(experiments::MakeJudge(model.tokenizer(), oracle)) {}

  // Adds a response of `query`, unless its p_0 is out of the band.
  void Add(const pts::Query& query) {
    const auto drawn = Draw(query, kPrompt, "choose");
    const double p = Judged(query, drawn).Mean();
    if (p < 0.2 || p > 0.8) return;
    TrueResponse response;
    response.id = query.id;
    response.tokens = drawn[0].tokens;
    response.success = judge_(query, response.tokens);
    for (const model::TokenScore& score : engine_.Score(query.prompt, response.tokens))
      response.logprobs.push_back(score.logprob);
    response.free = Judged(query, Draw(query, kFree, "free"));
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

  void MeasureAside(const pts::Query& query, TrueResponse& response) {
    const std::span<const TokenId> tokens = response.tokens;
    std::vector<model::RolloutRequest> requests;
    std::vector<std::size_t> places;
    for (std::size_t k = 0; k < tokens.size(); ++k) {
      const double leave = -std::expm1(double{response.logprobs[k]});
      if (leave < kLeast) continue;
      const double count = leave < kFork ? std::ceil(kRollouts * leave) : kRollouts;
      places.push_back(k);
      requests.push_back(Request(query, tokens.first(k), static_cast<int32_t>(count), "aside"));
      requests.back().excluded = {tokens[k]};
    }
    response.aside.resize(tokens.size());
    merged_ += SampleMerged(
        model_, Engine(truth_).sampling, truth_.seed, requests,
        [&](std::size_t request, std::span<const TokenId> sampled, int32_t count) {
          std::vector<TokenId> whole(tokens.begin(), tokens.begin() + places[request]);
          whole.insert(whole.end(), sampled.begin(), sampled.end());
          response.aside[places[request]] += {count, judge_(query, whole) ? count : 0};
        });
  }

  model::RolloutRequest Request(const pts::Query& query, std::span<const TokenId> path,
                                int32_t count, std::string_view purpose) const {
    model::RolloutRequest request;
    request.prefix = query.prompt;
    request.prefix.insert(request.prefix.end(), path.begin(), path.end());
    request.count = count;
    request.max_new_tokens = truth_.max_new_tokens - static_cast<int32_t>(path.size());
    request.stream = kernels::MixStream(
        kernels::MixStream(kernels::MixStream(0, purpose), query.id), path.size());
    return request;
  }

  // Free rollouts of the prompt.
  std::vector<model::Rollout> Draw(const pts::Query& query, int32_t count,
                                   std::string_view purpose) {
    const auto request = Request(query, {}, count, purpose);
    return engine_.Sample({&request, 1}, Progress())[0];
  }

  pts::Estimate Judged(const pts::Query& query, const std::vector<model::Rollout>& rollouts) const {
    pts::Estimate estimate;
    for (const model::Rollout& rollout : rollouts) estimate.Add(judge_(query, rollout.tokens));
    return estimate;
  }

  const model::PhiModel& model_;
  TinyTruth& truth_;
  model::RolloutEngine engine_;
  pts::Judge judge_;
  int64_t merged_ = 0;  // tokens decoded by SampleMerged
};

void Run(const std::filesystem::path& output) {
  const std::filesystem::path tiny = PIVOTAL_SOURCE_DIR "/experiments/tiny";
  TinyTruth truth;
  truth.command = "tiny_truth tests/experiments/tiny_truth.jsonl";
  truth.weights_sha256 = model::WeightsFingerprint(tiny / "model");
  truth.seed = kSeed;
  if (std::filesystem::exists(output)) {
    const TinyTruth before = testing::LoadTinyTruth(output);
    if (before.weights_sha256 != truth.weights_sha256)
      Fail("{}: was measured on other weights; remove it", output.string());
    truth = before;
  }
  experiments::ModelSettings settings;
  settings.folder = tiny / "model";
  const auto model = experiments::LoadModel(settings);
  const auto oracle = pts::MakeOracle("hash");
  const auto queries = experiments::MakeQueries(
      data::LoadProblems(tiny / "problems" / "train.jsonl"), model);
  Measurement measurement(model, *oracle, truth);
  // Problems up to the last one that is there are settled.
  auto query = queries.begin();
  if (!truth.responses.empty())
    query = std::ranges::find(queries, truth.responses.back().id, &pts::Query::id) + 1;
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
