// Apache-2.0.
#include "model/rollout_engine.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>

#include "data/error.h"
#include "kernels/philox.h"

namespace pivotal::model {
namespace {

void CheckTokens(std::span<const TokenId> tokens, const PhiConfig& config) {
  for (TokenId token : tokens) {
    if (token < 0 || token >= config.vocab_size)
      Fail("token id {} is outside the vocabulary of {}", token, config.vocab_size);
  }
}

void CheckRequest(const RolloutRequest& request, const PhiConfig& config) {
  if (request.prefix.empty()) Fail("a rollout needs a prefix of at least one token");
  if (request.count < 0 || request.max_new_tokens < 1)
    Fail("a rollout request with count {} and max_new_tokens {}", request.count,
         request.max_new_tokens);
  const auto total = static_cast<int64_t>(request.prefix.size()) + request.max_new_tokens;
  if (total > config.max_position_embeddings)
    Fail("a prefix of {} tokens plus --max-new-tokens {} is longer than the model's {} positions",
         request.prefix.size(), request.max_new_tokens, config.max_position_embeddings);
  CheckTokens(request.prefix, config);
  CheckTokens(request.excluded, config);
}

at::Tensor Int64Tensor(std::initializer_list<int64_t> shape) {
  return at::zeros(shape, at::TensorOptions(at::kLong));
}

}  // namespace

void EngineOptions::Validate() const {
  try {
    sampling.Validate();
  } catch (const std::invalid_argument& error) {
    Fail("{}", error.what());
  }
  if (batch < 1 || batch > 65536) Fail("batch must be in 1..65536, got {}", batch);
  if (prefill_tokens < 1) Fail("prefill_tokens must be at least 1, got {}", prefill_tokens);
}

// One call of Sample: slots 0..active-1 of the cache hold rollouts at work.
class RolloutEngine::Batch {
 public:
  Batch(RolloutEngine& engine, std::span<const RolloutRequest> requests, const RolloutSink& finished)
      : engine_(engine), config_(engine.model_.config()), requests_(requests), finished_(finished) {
    for (const RolloutRequest& request : requests) {
      CheckRequest(request, config_);
      results_.emplace_back(request.count);
      const auto total = static_cast<int64_t>(request.prefix.size()) + request.max_new_tokens;
      capacity_ = std::max(capacity_, total);
    }
    ReserveCache();
  }

  std::vector<std::vector<Rollout>> Run(const Progress& progress) {
    for (;;) {
      if (progress.StopRequested()) throw Interrupted("stopped while sampling rollouts");
      Admit();
      if (slots_.empty()) break;
      Step();
    }
    return std::move(results_);
  }

 private:
  struct Slot {
    int32_t request, rollout;
    int64_t length;   // tokens in the cache
    TokenId pending;  // sampled, not yet in the cache
  };
  // A prefilled request whose rollouts have not all started.
  struct Ready {
    int32_t request, started;
    std::shared_ptr<KvCache> cache;
    int64_t row;
    at::Tensor logits;  // [V], CPU float32
  };

  void ReserveCache() {
    auto& cache = engine_.cache_;
    if (cache && cache->capacity() >= capacity_) return;
    cache.reset();
    cache = std::make_unique<KvCache>(config_, engine_.options_.batch, (capacity_ + 31) / 32 * 32,
                                      engine_.model_.options());
  }

  // Fills free slots, prefilling requests as needed.
  void Admit() {
    while (static_cast<int32_t>(slots_.size()) < engine_.options_.batch) {
      while (!ready_.empty() && ready_.front().started == requests_[ready_.front().request].count)
        ready_.pop_front();
      if (ready_.empty()) {
        if (next_request_ == requests_.size()) return;
        Prefill();
      } else {
        Start(ready_.front());
      }
    }
  }

  // Runs the prefixes of the next requests through the model, padded to the longest.
  void Prefill() {
    const std::size_t first = next_request_;
    int64_t longest = 0;
    while (next_request_ < requests_.size()) {
      const auto size = static_cast<int64_t>(requests_[next_request_].prefix.size());
      const auto rows = static_cast<int64_t>(next_request_ - first) + 1;
      if (rows > 1 && rows * std::max(longest, size) > engine_.options_.prefill_tokens) break;
      longest = std::max(longest, size);
      ++next_request_;
    }
    const auto rows = static_cast<int64_t>(next_request_ - first);
    at::Tensor tokens = Int64Tensor({rows, longest}), positions = Int64Tensor({rows, longest});
    at::Tensor last = Int64Tensor({rows});
    std::vector<int64_t> lengths;
    for (int64_t row = 0; row < rows; ++row) {
      const auto& prefix = requests_[first + row].prefix;
      std::copy(prefix.begin(), prefix.end(), tokens.data_ptr<int64_t>() + row * longest);
      for (int64_t t = 0; t < longest; ++t) positions.data_ptr<int64_t>()[row * longest + t] = t;
      lengths.push_back(static_cast<int64_t>(prefix.size()));
      last.data_ptr<int64_t>()[row] = row * longest + lengths.back() - 1;
      engine_.counters_.prefilled_tokens += static_cast<int64_t>(prefix.size());
    }
    const auto device = engine_.model_.options().device();
    auto cache = std::make_shared<KvCache>(config_, rows, longest, engine_.model_.options());
    const at::Tensor hidden =
        engine_.model_.Hidden(tokens.to(device), positions.to(device), lengths, *cache);
    const at::Tensor logits =
        CpuLogits(hidden.flatten(0, 1).index_select(0, last.to(device)));
    for (int64_t row = 0; row < rows; ++row)
      ready_.push_back({static_cast<int32_t>(first + row), 0, cache, row, logits[row]});
  }

  // Starts rollouts of one prefilled request in the free slots: draws each one's first token from
  // the prefix's logits, then copies the prefix's keys and values to those that go on.
  void Start(Ready& ready) {
    const RolloutRequest& request = requests_[ready.request];
    const int64_t length = static_cast<int64_t>(request.prefix.size());
    const auto first_slot = static_cast<int64_t>(slots_.size());
    const auto free = engine_.options_.batch - static_cast<int32_t>(first_slot);
    const int32_t count = std::min(free, request.count - ready.started);
    const float* logits = ready.logits.const_data_ptr<float>();
    std::vector<float> workspace(static_cast<std::size_t>(config_.vocab_size));
    for (int32_t i = 0; i < count; ++i) {
      const Slot slot{ready.request, ready.started++, length, 0};
      const kernels::Draw draw = DrawToken(slot, logits, workspace);
      if (!Record(slot, draw)) slots_.push_back({slot.request, slot.rollout, length, draw.token});
    }
    const auto started = static_cast<int64_t>(slots_.size()) - first_slot;
    if (started > 0)
      engine_.cache_->CopySlot(*ready.cache, ready.row, first_slot, started, length);
  }

  // One token for every slot.
  void Step() {
    const auto rows = static_cast<int64_t>(slots_.size());
    at::Tensor tokens = Int64Tensor({rows, 1}), positions = Int64Tensor({rows, 1});
    std::vector<int64_t> lengths;
    for (int64_t row = 0; row < rows; ++row) {
      if (BecomesLong(slots_[row])) RecomputeAsLong(row);
      tokens.data_ptr<int64_t>()[row] = slots_[row].pending;
      positions.data_ptr<int64_t>()[row] = slots_[row].length++;
      lengths.push_back(slots_[row].length);
    }
    const auto device = engine_.model_.options().device();
    const at::Tensor hidden = engine_.model_.Hidden(tokens.to(device), positions.to(device),
                                                    lengths, *engine_.cache_);
    const at::Tensor logits = CpuLogits(hidden.select(1, 0));
    const float* values = logits.const_data_ptr<float>();
    const int64_t vocab = config_.vocab_size;
    std::vector<kernels::Draw> draws(static_cast<std::size_t>(rows));
    at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
      std::vector<float> workspace(static_cast<std::size_t>(vocab));
      for (int64_t row = begin; row < end; ++row)
        draws[row] = DrawToken(slots_[row], values + row * vocab, workspace);
    });
    // From the back, so that the slot which fills a gap has been recorded already.
    for (int64_t row = rows - 1; row >= 0; --row) {
      slots_[row].pending = draws[row].token;
      if (Record(slots_[row], draws[row])) Free(row);
    }
  }

  // True if the slot's next token makes it a sequence of LongRoPE's long kind.
  bool BecomesLong(const Slot& slot) const {
    return config_.rope.IsLong(slot.length + 1) && !config_.rope.IsLong(slot.length);
  }

  // Fills the slot's keys and values anew, under the long factors.
  void RecomputeAsLong(int64_t row) {
    const Slot& slot = slots_[row];
    std::vector<int64_t> ids(requests_[slot.request].prefix.begin(), requests_[slot.request].prefix.end());
    const auto& sampled = results_[slot.request][slot.rollout].tokens;
    ids.insert(ids.end(), sampled.begin(), sampled.end() - 1);  // the last one is pending
    const auto device = engine_.model_.options().device();
    const at::Tensor tokens = at::tensor(ids, at::TensorOptions(at::kLong)).unsqueeze(0).to(device);
    const int64_t length = slot.length + 1;
    KvCache fresh(config_, 1, length, engine_.model_.options());
    engine_.model_.Hidden(tokens, at::arange(slot.length, tokens.options()).unsqueeze(0), {&length, 1},
                          fresh);
    engine_.cache_->CopySlot(fresh, 0, row, 1, slot.length);
    engine_.counters_.prefilled_tokens += slot.length;
  }

  at::Tensor CpuLogits(const at::Tensor& hidden) const {
    return engine_.model_.Logits(hidden).to(at::kCPU, at::kFloat).contiguous();
  }

  kernels::Draw DrawToken(const Slot& slot, const float* logits, std::span<float> workspace) const {
    const RolloutRequest& request = requests_[slot.request];
    const auto position = static_cast<uint32_t>(results_[slot.request][slot.rollout].tokens.size());
    const double uniform =
        kernels::Uniform(engine_.options_.seed, request.stream,
                         request.first_rollout + static_cast<uint32_t>(slot.rollout), position);
    const std::span<const TokenId> excluded =
        position == 0 ? request.excluded : std::span<const TokenId>();
    return kernels::SampleRow({logits, static_cast<std::size_t>(config_.vocab_size)},
                              engine_.options_.sampling, uniform, workspace, excluded);
  }

  // Appends a token to its rollout; true if that ended it.
  bool Record(const Slot& slot, const kernels::Draw& draw) {
    const RolloutRequest& request = requests_[slot.request];
    Rollout& rollout = results_[slot.request][slot.rollout];
    rollout.tokens.push_back(draw.token);
    rollout.logprobs.push_back(draw.logprob);
    ++engine_.counters_.decoded_tokens;
    if (engine_.options_.on_token)
      engine_.options_.on_token(slot.request, slot.rollout, draw.token);
    const auto& stops = config_.eos_token_ids;
    const bool stop = std::find(stops.begin(), stops.end(), draw.token) != stops.end();
    if (!stop && static_cast<int32_t>(rollout.tokens.size()) < request.max_new_tokens) return false;
    rollout.finish = stop ? data::FinishReason::kEos : data::FinishReason::kLength;
    ++engine_.counters_.rollouts;
    if (finished_) finished_(static_cast<std::size_t>(slot.request), slot.rollout, rollout);
    return true;
  }

  // Moves the last slot into the gap, so that the slots at work stay the first ones.
  void Free(int64_t row) {
    const auto last = static_cast<int64_t>(slots_.size()) - 1;
    if (row != last) {
      engine_.cache_->CopySlot(*engine_.cache_, last, row, 1, slots_[last].length);
      slots_[row] = slots_[last];
    }
    slots_.pop_back();
  }

  RolloutEngine& engine_;
  const PhiConfig& config_;
  std::span<const RolloutRequest> requests_;
  const RolloutSink& finished_;
  std::vector<std::vector<Rollout>> results_;
  std::vector<Slot> slots_;
  std::deque<Ready> ready_;
  std::size_t next_request_ = 0;
  int64_t capacity_ = 1;
};

RolloutEngine::RolloutEngine(const PhiModel& model, EngineOptions options)
    : model_(model), options_(std::move(options)) {
  options_.Validate();
}

RolloutEngine::~RolloutEngine() = default;

std::vector<std::vector<Rollout>> RolloutEngine::Sample(std::span<const RolloutRequest> requests,
                                                        const Progress& progress,
                                                        const RolloutSink& finished) {
  const c10::InferenceMode inference;
  const auto start = std::chrono::steady_clock::now();
  auto results = Batch(*this, requests, finished).Run(progress);
  counters_.seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return results;
}

// Hidden states [1, T, hidden] of `tokens` [1, T] as decoding meets them: those of the first
// `original_length` tokens under LongRoPE's short factors, although the whole may be longer.
at::Tensor RolloutEngine::StepwiseHidden(const at::Tensor& tokens) const {
  const at::Tensor on_device = tokens.to(model_.options().device());
  const RopeConfig& rope = model_.config().rope;
  const at::Tensor hidden = model_.Hidden(on_device);
  if (!rope.IsLong(tokens.size(1))) return hidden;
  const at::Tensor early = model_.Hidden(on_device.narrow(1, 0, rope.original_length));
  return at::cat({early, hidden.slice(1, rope.original_length)}, 1);
}

std::vector<TokenScore> RolloutEngine::Score(std::span<const TokenId> prefix,
                                             std::span<const TokenId> continuation) {
  const c10::InferenceMode inference;
  if (prefix.empty()) Fail("scoring needs a prefix of at least one token");
  CheckTokens(prefix, model_.config());
  CheckTokens(continuation, model_.config());
  std::vector<TokenScore> scores(continuation.size());
  if (scores.empty()) return scores;
  const auto total = static_cast<int64_t>(prefix.size() + continuation.size()) - 1;
  if (total > model_.config().max_position_embeddings)
    Fail("{} tokens to score, but the model has {} positions", total,
         model_.config().max_position_embeddings);
  at::Tensor tokens = Int64Tensor({1, total});
  int64_t* ids = tokens.data_ptr<int64_t>();
  std::copy(continuation.begin(), continuation.end() - 1,
            std::copy(prefix.begin(), prefix.end(), ids));
  const at::Tensor logits = model_.Logits(StepwiseHidden(tokens)[0].slice(
                                      0, static_cast<int64_t>(prefix.size()) - 1))
                                .to(at::kCPU, at::kFloat).contiguous();
  const auto vocab = static_cast<std::size_t>(model_.config().vocab_size);
  std::vector<float> row(vocab);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    kernels::PolicyRow({logits.const_data_ptr<float>() + i * vocab, vocab}, options_.sampling, row);
    scores[i].logprob = std::log(row[continuation[i]]);
    row[continuation[i]] = -1;
    const auto best = std::max_element(row.begin(), row.end());
    scores[i].runner_up = static_cast<TokenId>(best - row.begin());
    scores[i].runner_up_logprob = std::log(*best);
  }
  return scores;
}

}  // namespace pivotal::model
