// Apache-2.0.
#include "model/rollout_engine.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "data/base/error.h"
#include "model/memory.h"
#include "model/phi_model.h"
#include "model/rollout_batch.h"
#include "model/trunk_cache.h"

namespace pivotal::model {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Returns the entropy, in nats, of the distribution weights / sum.
float Entropy(std::span<const float> weights, double sum) {
  double total = 0;
  for (const float weight : weights)
    if (weight > 0) total += weight * std::log(static_cast<double>(weight));
  return static_cast<float>(std::log(sum) - total / sum);
}

// Returns the rows of one pass that computes logits; scores of many tokens take several.
int64_t LogitRows(const EngineOptions& options) {
  return std::max(options.batch, std::min(options.prefill_tokens, 512));
}

constexpr const char* kLessMemory = "lower --kv-memory or --batch, or take --weights int8";

}  // namespace

void EngineOptions::Validate() const {
  sampling.Validate();
  if (batch < 1 || batch > 65536) Fail("batch must be in 1..65536, got {}", batch);
  if (prefill_tokens < 1) Fail("prefill_tokens must be at least 1, got {}", prefill_tokens);
  if (kv_memory < 0) Fail("kv_memory must be 0 (by what is free) or larger, got {}", kv_memory);
}

int64_t KvShare(c10::Device device, int64_t free) {
  return device.is_cpu() ? free / 2 : free / 5 * 4;
}

RolloutEngine::RolloutEngine(const PhiModel& model, EngineOptions options, const MakesDecoder& make)
    : model_(model), options_(std::move(options)) {
  options_.Validate();
  const c10::InferenceMode inference;
  const PhiConfig& config = model.config();
  DecoderOptions decoder;
  decoder.weights = options_.weights;
  decoder.timed = options_.timed;
  decoder.max_rows = LogitRows(options_);
  decoder.max_prefill = options_.prefill_tokens;
  const c10::Device device = model.options().device();
  const int64_t block = kernels::kBlockTokens * KvBytesPerToken(config, KvElementBytes(model));
  const int64_t memory =
      options_.kv_memory > 0 ? options_.kv_memory : KvShare(device, FreeMemory(device));
  // The most blocks that are ever used: as many trunks as rollouts, all of the greatest length.
  const int64_t most =
      (2 * int64_t{options_.batch} + 2) * KvBlocks::CountFor(config.max_position_embeddings);
  decoder.blocks = std::min(most, memory / block);
  if (decoder.blocks < 1)
    Fail("--kv-memory of {} holds no block of {}; raise it", BytesText(memory), BytesText(block));
  options_.kv_memory = decoder.blocks * block;
  WithMemoryFor("preparing to sample", kLessMemory, [&] {
    decoder_ = make(model, decoder);
    trunks_ =
        std::make_unique<TrunkCache>(*decoder_, decoder.blocks, options_.prefill_tokens, counters_);
  });
}

RolloutEngine::~RolloutEngine() = default;

std::vector<std::vector<Rollout>> RolloutEngine::Sample(std::span<const RolloutRequest> requests,
                                                        const Progress& progress,
                                                        const RolloutSink& finished) {
  const c10::InferenceMode inference;
  const auto start = Clock::now();
  auto results = WithMemoryFor("sampling rollouts", kLessMemory, [&] {
    return RolloutBatch(model_.config(), options_, *decoder_, *trunks_, counters_, requests,
                        finished)
        .Run(progress);
  });
  counters_.seconds += SecondsSince(start);
  counters_.times = decoder_->times();
  return results;
}

std::vector<TokenScore> RolloutEngine::Score(std::span<const TokenId> prefix,
                                             std::span<const TokenId> continuation) {
  return WithMemoryFor("scoring tokens", kLessMemory,
                       [&] { return ScoreTokens(prefix, continuation); });
}

std::vector<TokenScore> RolloutEngine::ScoreTokens(std::span<const TokenId> prefix,
                                                   std::span<const TokenId> continuation) {
  const c10::InferenceMode inference;
  const PhiConfig& config = model_.config();
  if (prefix.empty()) Fail("scoring needs a prefix of at least one token");
  config.CheckTokens(prefix);
  config.CheckTokens(continuation);
  std::vector<TokenScore> scores(continuation.size());
  if (continuation.empty()) return scores;
  std::vector<TokenId> tokens(prefix.begin(), prefix.end());
  tokens.insert(tokens.end(), continuation.begin(), continuation.end() - 1);
  if (std::ssize(tokens) >= config.max_position_embeddings + 1)
    Fail("{} tokens are more than the model's {} positions", tokens.size(),
         config.max_position_embeddings);
  std::vector<kernels::RowSampler> samplers(static_cast<std::size_t>(decoder_->threads()));
  // Decoding computes tokens up to LongRoPE's limit under the short factors, although more tokens
  // follow. Scoring does the same, so the short and the long part are computed separately.
  for (const bool is_long : {false, true}) {
    const auto in_part = [&](int64_t i) {
      return config.rope.IsLong(std::ssize(prefix) + i) == is_long;
    };
    std::vector<int64_t> wanted;
    for (int64_t i = 0; i < std::ssize(continuation); ++i)
      if (in_part(i)) wanted.push_back(i);
    if (wanted.empty()) continue;
    const auto path =
        std::span(tokens).first(static_cast<std::size_t>(std::ssize(prefix) + wanted.back()));
    const auto place = trunks_->HoldPrefix(path, path, is_long, 0);
    if (!place)
      Fail("{} tokens don't fit in the memory for keys and values; raise --kv-memory", path.size());
    try {
      trunks_->Prefill({&place->trunk, 1}, Progress());
      const auto pass = static_cast<std::size_t>(LogitRows(options_));
      for (std::size_t first = 0; first < wanted.size(); first += pass) {
        const auto now = std::span(wanted).subspan(first, std::min(pass, wanted.size() - first));
        std::vector<DecodeRow> rows;
        std::vector<std::vector<kernels::KvPiece>> pieces(now.size());
        for (std::size_t i = 0; i < now.size(); ++i) {
          const int64_t length = std::ssize(prefix) + now[i];
          pieces[i] = place->trunk->At(length).Pieces(length);
          rows.push_back({tokens[length - 1], length - 1, is_long, pieces[i]});
        }
        decoder_->Decode(rows, [&](int64_t row, int thread, std::span<float> logits) {
          samplers[thread].Take(logits, options_.sampling);
          TokenScore& score = scores[now[row]];
          score.entropy = Entropy(logits, samplers[thread].sum());
          float& own = logits[continuation[now[row]]];
          score.logprob = static_cast<float>(std::log(own / samplers[thread].sum()));
          own = -1;
          const auto best = std::max_element(logits.begin(), logits.end());
          score.runner_up = static_cast<TokenId>(best - logits.begin());
          score.runner_up_logprob = static_cast<float>(std::log(*best / samplers[thread].sum()));
        });
      }
    } catch (...) {
      trunks_->Drop(place->trunk);
      throw;
    }
    trunks_->Drop(place->trunk);
  }
  return scores;
}

}  // namespace pivotal::model
