// Apache-2.0.
#include "model/rollout_batch.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

#include "data/base/error.h"
#include "kernels/philox.h"
#include "model/memory.h"
#include "model/phi_config.h"

namespace pivotal::model {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void CheckRequest(const RolloutRequest& request, const PhiConfig& config) {
  if (request.prefix.empty()) Fail("a rollout needs a prefix of at least one token");
  if (request.count < 0 || request.max_new_tokens < 1)
    Fail("a rollout request with count {} and max_new_tokens {}", request.count,
         request.max_new_tokens);
  if (request.response_tokens < 0 || request.response_tokens > std::ssize(request.prefix))
    Fail("a rollout request with {} response tokens in a prefix of {}", request.response_tokens,
         request.prefix.size());
  config.CheckLength(std::ssize(request.prefix), request.max_new_tokens, "a prompt");
  config.CheckTokens(request.prefix);
  config.CheckTokens(request.excluded);
  if (request.sampling) request.sampling->Validate();
}

// Finds for each request a request whose prefix begins with its own and is as long as possible, so
// that requests along one sequence get one trunk. Prefixes on different sides of LongRoPE's limit
// do not cover each other, because their keys differ.
std::vector<std::size_t> Covers(std::span<const RolloutRequest> requests, const RopeConfig& rope) {
  std::vector<std::size_t> order(requests.size()), cover(requests.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(
      order, [&](std::size_t a, std::size_t b) { return requests[a].prefix < requests[b].prefix; });
  for (std::size_t i = order.size(); i-- > 0;) {
    cover[order[i]] = order[i];
    if (i + 1 == order.size()) continue;
    const auto &prefix = requests[order[i]].prefix, &next = requests[order[i + 1]].prefix;
    if (next.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), next.begin()) &&
        rope.IsLong(std::ssize(prefix)) ==
            rope.IsLong(std::ssize(requests[cover[order[i + 1]]].prefix)))
      cover[order[i]] = cover[order[i + 1]];
  }
  return cover;
}

}  // namespace

RolloutBatch::RolloutBatch(const PhiConfig& config, const EngineOptions& options, Decoder& decoder,
                           TrunkCache& trunks, RolloutCounters& counters,
                           std::span<const RolloutRequest> requests, const RolloutSink& finished)
    : config_(config),
      options_(options),
      decoder_(decoder),
      trunks_(trunks),
      counters_(counters),
      requests_(requests),
      finished_(finished) {
  for (const RolloutRequest& request : requests) {
    CheckRequest(request, config_);
    results_.emplace_back(request.count);
  }
  covers_ = Covers(requests, config_.rope);
  active_.reserve(static_cast<std::size_t>(options.batch));
}

RolloutBatch::~RolloutBatch() {
  if (!steps_.empty()) decoder_.Abandon();
  for (const auto& active : active_) Release(*active);
  for (const OpenRequest& open : open_) {
    trunks_.blocks().Unreserve(open.planned * BlocksFor(requests_[open.request]));
    trunks_.Drop(open.place.trunk);
  }
}

std::vector<std::vector<Rollout>> RolloutBatch::Run(const Progress& progress) {
  for (;;) {
    if (progress.StopRequested()) throw Interrupted("stopped while sampling rollouts");
    Admit(progress);
    if (active_.empty() && open_.empty() && steps_.empty()) break;
    const auto start = Clock::now();
    const bool started = StartStep(progress);
    if (steps_.size() > (started && decoder_.overlaps() ? 1 : 0)) FinishStep();
    StartAllPlanned();
    counters_.decode_seconds += Since(start);
  }
  return std::move(results_);
}

// The last sampled token needs no keys. A rollout that becomes long needs blocks for all its
// tokens.
int64_t RolloutBatch::BlocksFor(const RolloutRequest& request) const {
  const int64_t prefix = std::ssize(request.prefix), last = prefix + request.max_new_tokens - 1;
  const bool becomes_long = config_.rope.IsLong(last) && !config_.rope.IsLong(prefix);
  return KvBlocks::CountFor(request.max_new_tokens - 1) +
         (becomes_long ? KvBlocks::CountFor(config_.rope.original_length) : 0);
}

const SamplingParams& RolloutBatch::ParamsOf(const RolloutRequest& request) const {
  return request.sampling ? *request.sampling : options_.sampling;
}

int64_t RolloutBatch::Drawn(const ActiveRollout& active) const {
  return active.length + 1 - std::ssize(requests_[active.request].prefix);
}

int64_t RolloutBatch::FreeRows() const {
  int64_t free = options_.batch - std::ssize(active_);
  for (const OpenRequest& open : open_) free -= open.planned;
  return free;
}

void RolloutBatch::Admit(const Progress& progress) {
  if (!open_.empty()) Plan(open_.back());  // requests before it have no waiting rollouts
  std::vector<Trunk*> fresh;
  for (; FreeRows() > 0 && next_request_ < requests_.size(); ++next_request_) {
    if (requests_[next_request_].count == 0) continue;
    if (!open_.empty() && HasWaiting(open_.back())) break;
    if (!Open(next_request_)) break;
    fresh.push_back(open_.back().place.trunk);
  }
  const auto start = Clock::now();
  trunks_.Prefill(fresh, progress);
  counters_.prefill_seconds += Since(start);
}

bool RolloutBatch::HasWaiting(const OpenRequest& open) const {
  return open.started + open.planned < requests_[open.request].count;
}

void RolloutBatch::Plan(OpenRequest& open) {
  const RolloutRequest& request = requests_[open.request];
  while (FreeRows() > 0 && HasWaiting(open) && trunks_.Reserve(BlocksFor(request))) ++open.planned;
}

bool RolloutBatch::Open(std::size_t index) {
  const RolloutRequest& request = requests_[index];
  const auto place =
      trunks_.HoldPrefix(request.prefix, requests_[covers_[index]].prefix,
                         config_.rope.IsLong(std::ssize(request.prefix)), BlocksFor(request));
  if (!place && active_.empty() && open_.empty())
    Fail(
        "a prefix of {} tokens and a rollout of {} don't fit in the {} for keys and values; raise "
        "--kv-memory",
        request.prefix.size(), request.max_new_tokens, BytesText(options_.kv_memory));
  if (!place) return false;
  open_.push_back({static_cast<int32_t>(index), 0, 1, *place, false, {}});
  Plan(open_.back());
  return true;
}

bool RolloutBatch::StartStep(const Progress& progress) {
  auto step = std::make_unique<StepInProgress>();
  for (const auto& active : active_) {
    const bool has_all = Drawn(*active) == requests_[active->request].max_new_tokens;
    if (has_all) continue;  // the last one is on its way
    if (config_.rope.IsLong(active->length + 1) && !active->is_long) {
      if (!steps_.empty()) return false;  // all its tokens must be known first
      BecomeLong(*active, progress);
    }
    step->rollouts.push_back(active);
  }
  for (const auto& active : step->rollouts) {
    step->rows.push_back(NextRow(*active));
    step->draws.push_back({&ParamsOf(requests_[active->request]),
                           Uniform(active->request, active->rollout, Drawn(*active))});
  }
  for (OpenRequest& open : open_) {
    if (std::exchange(open.asked, true)) continue;
    const RolloutRequest& request = requests_[open.request];
    step->prefixes.push_back(open.request);
    step->pieces.push_back(open.place.trunk->Pieces(open.place.length));
    step->rows.push_back({request.prefix.back(), std::ssize(request.prefix) - 1,
                          config_.rope.IsLong(std::ssize(request.prefix)), step->pieces.back()});
  }
  if (step->rows.empty()) return false;
  step->on_logits = [this, step = step.get()](int64_t row, int, std::span<float> logits) {
    const int32_t request = step->prefixes[row - step->rollouts.size()];
    const auto open = std::ranges::find(open_, request, &OpenRequest::request);
    open->logits.assign(logits.begin(), logits.end());
  };
  counters_.repeated_tokens += std::ssize(step->prefixes);
  StepInProgress& kept = *steps_.emplace_back(std::move(step));
  decoder_.Start(kept.rows, kept.draws, kept.on_logits);
  for (std::size_t i = 0; i < kept.rollouts.size(); ++i) {
    ActiveRollout& active = *kept.rollouts[i];
    active.pending = Decoder::Pending(i);
    ++active.length;
  }
  return true;
}

void RolloutBatch::FinishStep() {
  decoder_.Finish();
  const std::unique_ptr<StepInProgress> step = std::move(steps_.front());
  steps_.pop_front();
  for (std::size_t i = 0; i < step->rollouts.size(); ++i) {
    ActiveRollout& active = *step->rollouts[i];
    if (active.ended) {
      ++counters_.discarded_tokens;
      continue;
    }
    const kernels::Draw& draw = step->draws[i].result;
    active.ended = Record(active.request, active.rollout, draw);
    const bool is_latest =
        std::ssize(results_[active.request][active.rollout].tokens) == Drawn(active);
    if (is_latest) active.pending = draw.token;
  }
  // Rollouts keep their order, because neighbours share a trunk.
  std::erase_if(active_, [&](const auto& active) {
    if (active->ended) Release(*active);
    return active->ended;
  });
}

void RolloutBatch::StartAllPlanned() {
  for (OpenRequest& open : open_)
    if (!open.logits.empty()) StartPlanned(open);
  std::erase_if(open_, [&](const OpenRequest& open) {
    if (open.started < requests_[open.request].count) return false;
    trunks_.Drop(open.place.trunk);
    return true;
  });
}

DecodeRow RolloutBatch::NextRow(ActiveRollout& active) {
  const int64_t own = active.length - active.prefix.length;
  const auto offset = static_cast<int32_t>(own % kernels::kBlockTokens);
  if (offset == 0) {
    active.blocks.push_back(trunks_.blocks().Take());
    --active.reserved;
  }
  if (own == 0) {
    active.pieces = active.prefix.trunk->Pieces(active.prefix.length);
    active.pieces.push_back({nullptr, 0});
  }
  active.pieces.back() = {active.blocks.data(), static_cast<int32_t>(own + 1)};
  return {active.pending, active.length,        active.is_long,
          active.pieces,  active.blocks.back(), offset};
}

void RolloutBatch::StartPlanned(OpenRequest& open) {
  if (open.planned == 0) return;
  const RolloutRequest& request = requests_[open.request];
  std::vector<float> weights = open.logits;
  sampler_.Take(weights, ParamsOf(request), request.excluded);
  const bool is_long = config_.rope.IsLong(std::ssize(request.prefix));
  for (; open.planned > 0; --open.planned) {
    const int32_t rollout = open.started++;
    const kernels::Draw draw = sampler_.Sample(Uniform(open.request, rollout, 0));
    const int64_t reserved = BlocksFor(request);
    if (Record(open.request, rollout, draw)) {
      trunks_.blocks().Unreserve(reserved);
      continue;
    }
    trunks_.Hold(open.place.trunk);
    active_.push_back(std::make_shared<ActiveRollout>(ActiveRollout{open.request,
                                                                    rollout,
                                                                    open.place,
                                                                    is_long,
                                                                    {},
                                                                    reserved,
                                                                    open.place.length,
                                                                    draw.token,
                                                                    false,
                                                                    {}}));
  }
}

void RolloutBatch::BecomeLong(ActiveRollout& active, const Progress& progress) {
  std::vector<TokenId> tokens = requests_[active.request].prefix;
  const auto& sampled = results_[active.request][active.rollout].tokens;
  tokens.insert(tokens.end(), sampled.begin(), sampled.end() - 1);  // the last one is pending
  trunks_.blocks().Free(active.blocks);
  const int64_t rest =
      KvBlocks::CountFor(requests_[active.request].max_new_tokens - std::ssize(sampled));
  trunks_.blocks().Unreserve(active.reserved);  // includes the blocks for recomputing
  active.reserved = 0;
  const auto place = trunks_.HoldPrefix(tokens, tokens, /*is_long=*/true, rest);
  if (!place)
    Fail("no memory to go on with a rollout beyond {} tokens; raise --kv-memory", tokens.size());
  trunks_.Drop(active.prefix.trunk);
  active.prefix = *place;
  active.reserved = rest;
  active.is_long = true;
  trunks_.Prefill({&active.prefix.trunk, 1}, progress);
}

double RolloutBatch::Uniform(int32_t request, int32_t rollout, int64_t drawn) const {
  return kernels::Uniform(options_.seed, requests_[request].stream,
                          requests_[request].first_rollout + static_cast<uint32_t>(rollout),
                          static_cast<uint32_t>(drawn));
}

bool RolloutBatch::Record(int32_t index, int32_t number, const kernels::Draw& draw) {
  const RolloutRequest& request = requests_[index];
  Rollout& rollout = results_[index][number];
  rollout.tokens.push_back(draw.token);
  rollout.logprobs.push_back(draw.logprob);
  ++counters_.decoded_tokens;
  if (options_.on_token) options_.on_token(index, number, draw.token);
  if (std::ranges::find(config_.eos_token_ids, draw.token) != config_.eos_token_ids.end()) {
    rollout.finish = FinishReason::kEos;
  } else if (Stops(request, rollout)) {
    rollout.finish = FinishReason::kStop;
  } else if (static_cast<int32_t>(rollout.tokens.size()) == request.max_new_tokens) {
    rollout.finish = FinishReason::kLength;
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

void RolloutBatch::Release(ActiveRollout& active) {
  trunks_.blocks().Free(active.blocks);
  trunks_.blocks().Unreserve(active.reserved);
  trunks_.Drop(active.prefix.trunk);
}

}  // namespace pivotal::model
