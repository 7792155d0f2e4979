// Apache-2.0.
#include "model/rollout_engine.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <numeric>

#include "data/error.h"
#include "kernels/philox.h"
#include "model/footprint.h"
#include "model/free_memory.h"
#include "model/trunk_tree.h"

namespace pivotal::model {
namespace {

using Clock = std::chrono::steady_clock;

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

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

void EngineOptions::Validate() const {
  try {
    sampling.Validate();
  } catch (const std::invalid_argument& error) {
    Fail("{}", error.what());
  }
  if (batch < 1 || batch > 65536) Fail("batch must be in 1..65536, got {}", batch);
  if (prefill_tokens < 1) Fail("prefill_tokens must be at least 1, got {}", prefill_tokens);
  if (kv_memory < 0) Fail("kv_memory must be 0 (half of what is free) or larger, got {}", kv_memory);
}

// All trunks and the blocks that they share with the rollouts.
class RolloutEngine::Trunks {
 public:
  Trunks(Decoder& decoder, const RopeConfig& rope, int64_t blocks, int64_t pass, RolloutCounters& counters)
      : decoder_(decoder), rope_(rope), blocks_(blocks), trees_{TrunkTree(blocks_), TrunkTree(blocks_)}, pass_(pass),
        counters_(counters) {}

  KvBlocks& blocks() { return blocks_; }

  // Sets blocks aside, for which unused trunks go.
  bool Promise(int64_t count) {
    while (!blocks_.Promise(count))
      if (!trees_[0].EvictOne() && !trees_[1].EvictOne()) return false;
    return true;
  }

  // The place of `tokens`, held, with `more` blocks promised for what follows; nothing if there is no memory. Where
  // there is enough, all of `cover`, which begins with `tokens`, becomes a trunk.
  std::optional<TrunkPlace> Hold(std::span<const TokenId> tokens, std::span<const TokenId> cover, bool is_long,
                                 int64_t more) {
    TrunkTree& tree = trees_[is_long ? 1 : 0];
    Trunk* there = tree.Find(cover).trunk;
    tree.Hold(there);  // what is there already is not to go for what isn't
    const auto had = tree.Find(tokens).length;
    std::optional<TrunkPlace> place;
    for (const auto wanted : {cover, tokens}) {
      if (!Promise(tree.Missing(wanted) + more)) continue;
      tree.Add(wanted);
      place = tree.Find(tokens);
      tree.Hold(place->trunk);
      counters_.reused_tokens += had;
      break;
    }
    tree.Drop(there);
    return place;
  }
  void Keep(Trunk* trunk) { trees_[0].Hold(trunk); }
  void Drop(Trunk* trunk) { trees_[0].Drop(trunk); }

  // Computes keys and values of these trunks, and of those before them, where they are missing.
  void Prefill(std::span<Trunk* const> trunks, const Progress& progress) {
    std::vector<Trunk*> todo;
    for (Trunk* trunk : trunks) {
      const std::size_t first = todo.size();
      for (; trunk->parent != nullptr && trunk->prefilled < Size(trunk->tokens); trunk = trunk->parent)
        if (std::ranges::find(todo, trunk) == todo.end()) todo.push_back(trunk);
      std::reverse(todo.begin() + static_cast<std::ptrdiff_t>(first), todo.end());
    }
    std::vector<DecodeRow> rows;
    std::deque<std::vector<kernels::KvPiece>> pieces;
    std::vector<std::pair<Trunk*, int64_t>> reached;
    const auto run = [&] {
      if (progress.StopRequested()) throw Interrupted("stopped while computing prefixes");
      decoder_.Prefill(rows);
      counters_.prefilled_tokens += std::ssize(rows);
      for (const auto& [trunk, count] : reached) trunk->prefilled = count;
      rows.clear(), pieces.clear(), reached.clear();
    };
    for (Trunk* trunk : todo) {
      const bool is_long = IsLong(trunk);
      for (int64_t i = trunk->prefilled; i < Size(trunk->tokens); ++i) {
        const int64_t position = trunk->depth + i;
        pieces.push_back(trunk->Pieces(position + 1));
        rows.push_back({trunk->tokens[i], position, is_long, pieces.back(),
                        trunk->blocks[i / kernels::kBlockTokens], static_cast<int32_t>(i % kernels::kBlockTokens)});
        if (reached.empty() || reached.back().first != trunk) reached.push_back({trunk, 0});
        reached.back().second = i + 1;
        if (std::ssize(rows) == pass_) run();
      }
    }
    if (!rows.empty()) run();
  }

 private:
  bool IsLong(const Trunk* trunk) const {
    while (trunk->parent != nullptr) trunk = trunk->parent;
    return trunk == trees_[1].root();
  }

  Decoder& decoder_;
  const RopeConfig& rope_;
  KvBlocks blocks_;
  TrunkTree trees_[2];  // of the short kind, of the long kind
  int64_t pass_;
  RolloutCounters& counters_;
};

// One call of Sample.
class RolloutEngine::Batch {
 public:
  Batch(RolloutEngine& engine, std::span<const RolloutRequest> requests, const RolloutSink& finished)
      : engine_(engine), config_(engine.model_.config()), trunks_(*engine.trunks_), requests_(requests),
        finished_(finished), samplers_(engine.decoder_->threads(), kernels::RowSampler(engine.options_.sampling)) {
    for (const RolloutRequest& request : requests) {
      CheckRequest(request, config_);
      results_.emplace_back(request.count);
    }
    covers_ = Covers(requests, config_.rope);
    slots_.reserve(static_cast<std::size_t>(engine.options_.batch));
  }
  // Gives back what a stop or an error has left.
  ~Batch() {
    for (Slot& slot : slots_) Release(slot);
    for (const Opened& opened : opened_) {
      trunks_.blocks().Release(opened.planned * BlocksFor(requests_[opened.request]));
      trunks_.Drop(opened.place.trunk);
    }
  }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  std::vector<std::vector<Rollout>> Run(const Progress& progress) {
    for (;;) {
      if (progress.StopRequested()) throw Interrupted("stopped while sampling rollouts");
      Admit(progress);
      if (slots_.empty() && opened_.empty()) break;
      Step(progress);
    }
    return std::move(results_);
  }

 private:
  // A rollout at work.
  struct Slot {
    int32_t request, rollout;
    TrunkPlace leave;              // the sequence up to there is shared
    bool is_long;
    std::vector<int32_t> blocks;   // of its own tokens
    int64_t promised;              // blocks that it may still take
    int64_t length;                // tokens with keys and values
    TokenId pending;               // sampled, not yet among them
    std::vector<kernels::KvPiece> pieces;
  };
  // A request whose rollouts have not all started.
  struct Opened {
    int32_t request, started, planned;  // planned: those that start with the next step
    TrunkPlace place;
    std::vector<float> logits;          // after its prefix; empty: not computed yet
  };

  // The last token that is sampled needs no place. A rollout that becomes long is computed anew.
  int64_t BlocksFor(const RolloutRequest& request) const {
    const int64_t prefix = Size(request.prefix), last = prefix + request.max_new_tokens - 1;
    const bool turns = config_.rope.IsLong(last) && !config_.rope.IsLong(prefix);
    return KvBlocks::CountFor(request.max_new_tokens - 1) +
           (turns ? KvBlocks::CountFor(config_.rope.original_length) : 0);
  }

  int64_t Free() const {
    int64_t free = engine_.options_.batch - std::ssize(slots_);
    for (const Opened& opened : opened_) free -= opened.planned;
    return free;
  }

  // Plans rollouts for the free slots, as far as memory allows, and computes their prefixes.
  void Admit(const Progress& progress) {
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
    engine_.counters_.prefill_seconds += Since(start);
  }

  bool Waits(const Opened& opened) const {
    return opened.started + opened.planned < requests_[opened.request].count;
  }

  void Plan(Opened& opened) {
    const RolloutRequest& request = requests_[opened.request];
    while (Free() > 0 && Waits(opened) && trunks_.Promise(BlocksFor(request)))
      ++opened.planned;
  }

  bool Open(std::size_t index) {
    const RolloutRequest& request = requests_[index];
    const auto place = trunks_.Hold(request.prefix, requests_[covers_[index]].prefix,
                                    config_.rope.IsLong(Size(request.prefix)), BlocksFor(request));
    if (!place && slots_.empty() && opened_.empty())
      Fail("a prefix of {} tokens and a rollout of {} don't fit in the {} for keys and values; raise --kv-memory",
           request.prefix.size(), request.max_new_tokens,
           BytesText(trunks_.blocks().capacity() * kernels::kBlockTokens * KvBytesPerToken(config_)));
    if (!place) return false;
    opened_.push_back({static_cast<int32_t>(index), 0, 1, *place, {}});
    Plan(opened_.back());
    return true;
  }

  // One token for every rollout at work, and the first for those that are planned.
  void Step(const Progress& progress) {
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
    draws_.resize(at_work);
    engine_.decoder_->Decode(rows_, [&](int64_t row, int thread, std::span<float> logits) {
      if (row < static_cast<int64_t>(at_work)) {
        samplers_[thread].Take(logits);
        draws_[row] = samplers_[thread].Sample(Uniform(slots_[row].request, slots_[row].rollout));
      } else {
        asked[row - at_work]->logits.assign(logits.begin(), logits.end());
      }
    });
    engine_.counters_.repeated_tokens += std::ssize(asked);
    for (Slot& slot : slots_) ++slot.length;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < at_work; ++i) {  // in their order: neighbours share a trunk
      slots_[i].pending = draws_[i].token;
      if (Record(slots_[i].request, slots_[i].rollout, draws_[i])) {
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
    engine_.counters_.decode_seconds += Since(start);
  }

  DecodeRow NextRow(Slot& slot) {
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

  void StartPlanned(Opened& opened) {
    if (opened.planned == 0) return;
    const RolloutRequest& request = requests_[opened.request];
    std::vector<float> weights = opened.logits;
    samplers_[0].Take(weights, request.excluded);
    const bool is_long = config_.rope.IsLong(Size(request.prefix));
    for (; opened.planned > 0; --opened.planned) {
      const int32_t rollout = opened.started++;
      const kernels::Draw draw = samplers_[0].Sample(Uniform(opened.request, rollout));
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

  // Computes what a rollout has so far anew, under the long factors, as a trunk.
  void BecomeLong(Slot& slot, const Progress& progress) {
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

  double Uniform(int32_t request, int32_t rollout) const {
    return kernels::Uniform(engine_.options_.seed, requests_[request].stream,
                            requests_[request].first_rollout + static_cast<uint32_t>(rollout),
                            static_cast<uint32_t>(results_[request][rollout].tokens.size()));
  }

  // Appends a token to its rollout; true if that ended it.
  bool Record(int32_t index, int32_t number, const kernels::Draw& draw) {
    const RolloutRequest& request = requests_[index];
    Rollout& rollout = results_[index][number];
    rollout.tokens.push_back(draw.token);
    rollout.logprobs.push_back(draw.logprob);
    ++engine_.counters_.decoded_tokens;
    if (engine_.options_.on_token) engine_.options_.on_token(index, number, draw.token);
    const auto& stops = config_.eos_token_ids;
    const bool stop = std::find(stops.begin(), stops.end(), draw.token) != stops.end();
    if (!stop && static_cast<int32_t>(rollout.tokens.size()) < request.max_new_tokens) return false;
    rollout.finish = stop ? data::FinishReason::kEos : data::FinishReason::kLength;
    ++engine_.counters_.rollouts;
    if (finished_) finished_(static_cast<std::size_t>(index), number, rollout);
    return true;
  }

  void Release(Slot& slot) {
    trunks_.blocks().Return(slot.blocks);
    trunks_.blocks().Release(slot.promised);
    trunks_.Drop(slot.leave.trunk);
  }

  RolloutEngine& engine_;
  const PhiConfig& config_;
  Trunks& trunks_;
  std::span<const RolloutRequest> requests_;
  const RolloutSink& finished_;
  std::vector<std::size_t> covers_;
  std::vector<std::vector<Rollout>> results_;
  std::vector<Slot> slots_;
  std::deque<Opened> opened_;
  std::size_t next_request_ = 0;
  std::vector<DecodeRow> rows_;
  std::vector<kernels::Draw> draws_;
  std::vector<kernels::RowSampler> samplers_;  // one a thread
};

RolloutEngine::RolloutEngine(const PhiModel& model, EngineOptions options)
    : model_(model), options_(std::move(options)) {
  options_.Validate();
  const c10::InferenceMode inference;
  const PhiConfig& config = model.config();
  DecoderOptions decoder;
  decoder.weights = options_.weights;
  decoder.max_rows = std::max(options_.batch, options_.prefill_tokens);
  const int64_t block = kernels::kBlockTokens * KvBytesPerToken(config);
  const int64_t memory =
      options_.kv_memory > 0 ? options_.kv_memory : FreeMemory(model.options().device()) / 2;
  // More than this is never used: as many trunks as rollouts, all as long as can be.
  const int64_t most = (2 * int64_t{options_.batch} + 2) * KvBlocks::CountFor(config.max_position_embeddings);
  decoder.blocks = std::min(most, memory / block);
  if (decoder.blocks < 1)
    Fail("--kv-memory of {} holds no block of {}; raise it", BytesText(memory), BytesText(block));
  decoder_ = MakeDecoder(model, decoder);
  trunks_ = std::make_unique<Trunks>(*decoder_, config.rope, decoder.blocks, options_.prefill_tokens, counters_);
}

RolloutEngine::~RolloutEngine() = default;

std::vector<std::vector<Rollout>> RolloutEngine::Sample(std::span<const RolloutRequest> requests,
                                                        const Progress& progress,
                                                        const RolloutSink& finished) {
  const c10::InferenceMode inference;
  const auto start = Clock::now();
  auto results = Batch(*this, requests, finished).Run(progress);
  counters_.seconds += Since(start);
  counters_.times = decoder_->times();
  return results;
}

std::vector<TokenScore> RolloutEngine::Score(std::span<const TokenId> prefix,
                                             std::span<const TokenId> continuation) {
  const c10::InferenceMode inference;
  const PhiConfig& config = model_.config();
  if (prefix.empty()) Fail("scoring needs a prefix of at least one token");
  CheckTokens(prefix, config);
  CheckTokens(continuation, config);
  std::vector<TokenScore> scores(continuation.size());
  if (continuation.empty()) return scores;
  std::vector<TokenId> tokens(prefix.begin(), prefix.end());
  tokens.insert(tokens.end(), continuation.begin(), continuation.end() - 1);
  if (Size(tokens) >= config.max_position_embeddings + 1)
    Fail("{} tokens are more than the model's {} positions", tokens.size(), config.max_position_embeddings);
  std::vector<kernels::RowSampler> samplers(decoder_->threads(), kernels::RowSampler(options_.sampling));
  // As decoding meets them: tokens up to LongRoPE's limit under its short factors, although more follow.
  for (const bool is_long : {false, true}) {
    const auto of_kind = [&](int64_t i) { return config.rope.IsLong(Size(prefix) + i) == is_long; };
    std::vector<int64_t> wanted;
    for (int64_t i = 0; i < std::ssize(continuation); ++i)
      if (of_kind(i)) wanted.push_back(i);
    if (wanted.empty()) continue;
    const auto path = std::span(tokens).first(static_cast<std::size_t>(Size(prefix) + wanted.back()));
    const auto place = trunks_->Hold(path, path, is_long, 0);
    if (!place) Fail("{} tokens don't fit in the memory for keys and values; raise --kv-memory", path.size());
    try {
      trunks_->Prefill({&place->trunk, 1}, Progress());
      const auto pass = static_cast<std::size_t>(std::max(options_.batch, options_.prefill_tokens));
      for (std::size_t first = 0; first < wanted.size(); first += pass) {
        const auto now = std::span(wanted).subspan(first, std::min(pass, wanted.size() - first));
        std::vector<DecodeRow> rows;
        std::vector<std::vector<kernels::KvPiece>> pieces(now.size());
        for (std::size_t i = 0; i < now.size(); ++i) {
          const int64_t length = Size(prefix) + now[i];
          pieces[i] = place->trunk->At(length).Pieces(length);
          rows.push_back({tokens[length - 1], length - 1, is_long, pieces[i]});
        }
        decoder_->Decode(rows, [&](int64_t row, int thread, std::span<float> logits) {
          samplers[thread].Take(logits);
          TokenScore& score = scores[now[row]];
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
