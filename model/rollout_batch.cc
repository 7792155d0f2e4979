// Apache-2.0.
#include "model/rollout_batch.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "data/error.h"
#include "kernels/philox.h"
#include "model/footprint.h"

namespace pivotal::model {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void CheckRequest(const RolloutRequest& request, const PhiConfig& config) {
  if (request.prefix.empty()) Fail("a rollout needs a prefix of at least one token");
  if (request.count < 0 || request.max_new_tokens < 1)
    Fail("a rollout request with count {} and max_new_tokens {}", request.count, request.max_new_tokens);
  if (request.response_tokens < 0 || request.response_tokens > std::ssize(request.prefix))
    Fail("a rollout request with {} response tokens in a prefix of {}", request.response_tokens,
         request.prefix.size());
  const auto total = static_cast<int64_t>(request.prefix.size()) + request.max_new_tokens;
  if (total > config.max_position_embeddings)
    Fail("a prefix of {} tokens plus --max-new-tokens {} is longer than the model's {} positions",
         request.prefix.size(), request.max_new_tokens, config.max_position_embeddings);
  config.CheckTokens(request.prefix);
  config.CheckTokens(request.excluded);
  if (request.sampling) CheckSampling(*request.sampling);
}

int64_t Size(std::span<const TokenId> tokens) { return static_cast<int64_t>(tokens.size()); }

// For each request one that begins with its prefix and is long: all that lie on one trunk name the same one, most
// often. Those of LongRoPE's other kind have keys and values of their own.
std::vector<std::size_t> Covers(std::span<const RolloutRequest> requests, const RopeConfig& rope) {
  std::vector<std::size_t> order(requests.size()), cover(requests.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return requests[a].prefix < requests[b].prefix; });
  for (std::size_t i = order.size(); i-- > 0;) {
    cover[order[i]] = order[i];
    if (i + 1 == order.size()) continue;
    const auto &prefix = requests[order[i]].prefix, &next = requests[order[i + 1]].prefix;
    if (next.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), next.begin()) &&
        rope.IsLong(Size(prefix)) == rope.IsLong(Size(requests[cover[order[i + 1]]].prefix)))
      cover[order[i]] = cover[order[i + 1]];
  }
  return cover;
}

}  // namespace

RolloutBatch::RolloutBatch(const PhiConfig& config, const EngineOptions& options, Decoder& decoder,
                           TrunkMemory& trunks, RolloutCounters& counters,
                           std::span<const RolloutRequest> requests, const RolloutSink& finished)
    : config_(config), options_(options), decoder_(decoder), trunks_(trunks), counters_(counters),
      requests_(requests), finished_(finished) {
  for (const RolloutRequest& request : requests) {
    CheckRequest(request, config_);
    results_.emplace_back(request.count);
  }
  covers_ = Covers(requests, config_.rope);
  slots_.reserve(static_cast<std::size_t>(options.batch));
}

RolloutBatch::~RolloutBatch() {
  for (Slot& slot : slots_) Release(slot);
  for (const Opened& opened : opened_) {
    trunks_.blocks().Release(opened.planned * BlocksFor(requests_[opened.request]));
    trunks_.Drop(opened.place.trunk);
  }
}

std::vector<std::vector<Rollout>> RolloutBatch::Run(const Progress& progress) {
  for (;;) {
    if (progress.StopRequested()) throw Interrupted("stopped while sampling rollouts");
    Admit(progress);
    if (slots_.empty() && opened_.empty()) break;
    Step(progress);
  }
  return std::move(results_);
}

// The last token that is sampled needs no place. A rollout that becomes long is computed anew.
int64_t RolloutBatch::BlocksFor(const RolloutRequest& request) const {
  const int64_t prefix = Size(request.prefix), last = prefix + request.max_new_tokens - 1;
  const bool turns = config_.rope.IsLong(last) && !config_.rope.IsLong(prefix);
  return KvBlocks::CountFor(request.max_new_tokens - 1) +
         (turns ? KvBlocks::CountFor(config_.rope.original_length) : 0);
}

const kernels::SamplingParams& RolloutBatch::ParamsOf(const RolloutRequest& request) const {
  return request.sampling ? *request.sampling : options_.sampling;
}

int64_t RolloutBatch::Free() const {
  int64_t free = options_.batch - std::ssize(slots_);
  for (const Opened& opened : opened_) free -= opened.planned;
  return free;
}

void RolloutBatch::Admit(const Progress& progress) {
  if (!opened_.empty()) Plan(opened_.back());  // all before it have started
  std::vector<Trunk*> fresh;
  for (; Free() > 0 && next_request_ < requests_.size(); ++next_request_) {
    if (requests_[next_request_].count == 0) continue;
    if (!opened_.empty() && Waits(opened_.back())) break;
    if (!Open(next_request_)) break;
    fresh.push_back(opened_.back().place.trunk);
  }
  const auto start = Clock::now();
  trunks_.Prefill(fresh, progress);
  counters_.prefill_seconds += Since(start);
}

bool RolloutBatch::Waits(const Opened& opened) const {
  return opened.started + opened.planned < requests_[opened.request].count;
}

void RolloutBatch::Plan(Opened& opened) {
  const RolloutRequest& request = requests_[opened.request];
  while (Free() > 0 && Waits(opened) && trunks_.Promise(BlocksFor(request)))
    ++opened.planned;
}

bool RolloutBatch::Open(std::size_t index) {
  const RolloutRequest& request = requests_[index];
  const auto place = trunks_.Hold(request.prefix, requests_[covers_[index]].prefix,
                                  config_.rope.IsLong(Size(request.prefix)), BlocksFor(request));
  if (!place && slots_.empty() && opened_.empty())
    Fail("a prefix of {} tokens and a rollout of {} don't fit in the {} for keys and values; raise --kv-memory",
         request.prefix.size(), request.max_new_tokens,
         BytesText(options_.kv_memory));
  if (!place) return false;
  opened_.push_back({static_cast<int32_t>(index), 0, 1, *place, {}});
  Plan(opened_.back());
  return true;
}

void RolloutBatch::Step(const Progress& progress) {
  const auto start = Clock::now();
  rows_.clear();
  for (Slot& slot : slots_) {
    if (config_.rope.IsLong(slot.length + 1) && !slot.is_long) BecomeLong(slot, progress);
    rows_.push_back(NextRow(slot));
  }
  const auto at_work = rows_.size();
  std::vector<Opened*> asked;
  std::vector<std::vector<kernels::KvPiece>> pieces;
  for (Opened& opened : opened_)
    if (opened.logits.empty()) asked.push_back(&opened);
  for (const Opened* opened : asked) {
    const RolloutRequest& request = requests_[opened->request];
    pieces.push_back(opened->place.trunk->Pieces(opened->place.length));
    rows_.push_back({request.prefix.back(), Size(request.prefix) - 1, config_.rope.IsLong(Size(request.prefix)),
                     pieces.back()});
  }
  draws_.clear();
  for (const Slot& slot : slots_)
    draws_.push_back({&ParamsOf(requests_[slot.request]), Uniform(slot.request, slot.rollout)});
  ended_.assign(at_work, false);
  decoder_.Draw(rows_, draws_, [&](int64_t row, int, std::span<float> logits) {
    asked[row - at_work]->logits.assign(logits.begin(), logits.end());
  });
  counters_.repeated_tokens += std::ssize(asked);
  for (Slot& slot : slots_) ++slot.length;
  for (std::size_t i = 0; i < at_work; ++i) {
    slots_[i].pending = draws_[i].result.token;
    ended_[i] = Record(slots_[i].request, slots_[i].rollout, draws_[i].result);
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < at_work; ++i) {  // in their order: neighbours share a trunk
    if (ended_[i]) {
      Release(slots_[i]);
    } else if (kept++ != i) {
      slots_[kept - 1] = std::move(slots_[i]);
    }
  }
  slots_.resize(kept);
  for (Opened& opened : opened_) StartPlanned(opened);
  std::erase_if(opened_, [&](const Opened& opened) {
    if (opened.started < requests_[opened.request].count) return false;
    trunks_.Drop(opened.place.trunk);
    return true;
  });
  counters_.decode_seconds += Since(start);
}

DecodeRow RolloutBatch::NextRow(Slot& slot) {
  const int64_t own = slot.length - slot.leave.length;
  const auto offset = static_cast<int32_t>(own % kernels::kBlockTokens);
  if (offset == 0) {
    slot.blocks.push_back(trunks_.blocks().Take());
    --slot.promised;
  }
  if (own == 0) {
    slot.pieces = slot.leave.trunk->Pieces(slot.leave.length);
    slot.pieces.push_back({nullptr, 0});
  }
  slot.pieces.back() = {slot.blocks.data(), static_cast<int32_t>(own + 1)};
  return {slot.pending, slot.length, slot.is_long, slot.pieces, slot.blocks.back(), offset};
}

void RolloutBatch::StartPlanned(Opened& opened) {
  if (opened.planned == 0) return;
  const RolloutRequest& request = requests_[opened.request];
  std::vector<float> weights = opened.logits;
  sampler_.Take(weights, ParamsOf(request), request.excluded);
  const bool is_long = config_.rope.IsLong(Size(request.prefix));
  for (; opened.planned > 0; --opened.planned) {
    const int32_t rollout = opened.started++;
    const kernels::Draw draw = sampler_.Sample(Uniform(opened.request, rollout));
    const int64_t promised = BlocksFor(request);
    if (Record(opened.request, rollout, draw)) {
      trunks_.blocks().Release(promised);
      continue;
    }
    trunks_.Keep(opened.place.trunk);
    slots_.push_back({opened.request, rollout, opened.place, is_long, {}, promised, opened.place.length,
                      draw.token, {}});
  }
}

void RolloutBatch::BecomeLong(Slot& slot, const Progress& progress) {
  std::vector<TokenId> tokens = requests_[slot.request].prefix;
  const auto& sampled = results_[slot.request][slot.rollout].tokens;
  tokens.insert(tokens.end(), sampled.begin(), sampled.end() - 1);  // the last one is pending
  trunks_.blocks().Return(slot.blocks);
  const int64_t rest = KvBlocks::CountFor(requests_[slot.request].max_new_tokens - std::ssize(sampled));
  trunks_.blocks().Release(slot.promised);  // among them those for this
  slot.promised = 0;
  const auto place = trunks_.Hold(tokens, tokens, /*is_long=*/true, rest);
  if (!place) Fail("no memory to go on with a rollout beyond {} tokens; raise --kv-memory", tokens.size());
  trunks_.Drop(slot.leave.trunk);
  slot.leave = *place;
  slot.promised = rest;
  slot.is_long = true;
  trunks_.Prefill({&slot.leave.trunk, 1}, progress);
}

double RolloutBatch::Uniform(int32_t request, int32_t rollout) const {
  return kernels::Uniform(options_.seed, requests_[request].stream,
                          requests_[request].first_rollout + static_cast<uint32_t>(rollout),
                          static_cast<uint32_t>(results_[request][rollout].tokens.size()));
}

bool RolloutBatch::Record(int32_t index, int32_t number, const kernels::Draw& draw) {
  const RolloutRequest& request = requests_[index];
  Rollout& rollout = results_[index][number];
  rollout.tokens.push_back(draw.token);
  rollout.logprobs.push_back(draw.logprob);
  ++counters_.decoded_tokens;
  if (options_.on_token) options_.on_token(index, number, draw.token);
  if (std::ranges::find(config_.eos_token_ids, draw.token) != config_.eos_token_ids.end()) {
    rollout.finish = data::FinishReason::kEos;
  } else if (Stops(request, rollout)) {
    rollout.finish = data::FinishReason::kStop;
  } else if (static_cast<int32_t>(rollout.tokens.size()) == request.max_new_tokens) {
    rollout.finish = data::FinishReason::kLength;
  } else {
    return false;
  }
  ++counters_.rollouts;
  if (finished_) finished_(static_cast<std::size_t>(index), number, rollout);
  return true;
}

bool RolloutBatch::Stops(const RolloutRequest& request, const Rollout& rollout) {
  if (!request.stop) return false;
  response_.assign(request.prefix.end() - request.response_tokens, request.prefix.end());
  response_.insert(response_.end(), rollout.tokens.begin(), rollout.tokens.end());
  return request.stop(response_);
}

void RolloutBatch::Release(Slot& slot) {
  trunks_.blocks().Return(slot.blocks);
  trunks_.blocks().Release(slot.promised);
  trunks_.Drop(slot.leave.trunk);
}

}  // namespace pivotal::model
