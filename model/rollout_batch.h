// Apache-2.0. The scheduler of one RolloutEngine::Sample call: which rollouts decode when.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "kernels/sample_row.h"
#include "model/decoder.h"
#include "model/phi_config.h"
#include "model/rollout_engine.h"
#include "model/trunk_cache.h"
#include "pivotal/policy.h"

namespace pivotal::model {

// Continuous batching (Orca, Yu et al., OSDI 2022): when a rollout ends, the next one starts in the
// following step. Rollouts wait while memory is short. Where the decoder overlaps steps, the next
// step starts before the tokens of this one are known: an end is noticed a step late, and the token
// that the rollout drew after it is discarded. The destructor frees all blocks and trunks.
class RolloutBatch {
 public:
  // References must outlive the batch. Throws Error for a bad request, see RolloutEngine::Sample.
  RolloutBatch(const PhiConfig& config, const EngineOptions& options, Decoder& decoder,
               TrunkCache& trunks, RolloutCounters& counters,
               std::span<const RolloutRequest> requests, const RolloutSink& finished);
  ~RolloutBatch();
  RolloutBatch(const RolloutBatch&) = delete;
  RolloutBatch& operator=(const RolloutBatch&) = delete;

  // Decodes all rollouts. To be called once. Throws Interrupted on a stop request.
  std::vector<std::vector<Rollout>> Run(const Progress& progress);

 private:
  // A rollout that is being decoded.
  struct ActiveRollout {
    int32_t request, rollout;
    TrunkPlace prefix;            // its shared beginning
    bool is_long;                 // its keys are under LongRoPE's long factors
    std::vector<int32_t> blocks;  // hold its tokens after `prefix`
    int64_t reserved;             // blocks that it may still take
    int64_t length;               // tokens of the sequence that have keys and values
    TokenId pending;              // the token that was sampled last; it has none yet
    bool ended;                   // whether only steps in progress still know it
    std::vector<kernels::KvPiece> pieces;
  };
  // A step in progress, which decodes rollouts, then last tokens of prefixes.
  struct StepInProgress {
    std::vector<std::shared_ptr<ActiveRollout>> rollouts;
    std::vector<int32_t> prefixes;  // requests
    std::vector<std::vector<kernels::KvPiece>> pieces;
    std::vector<DecodeRow> rows;
    std::vector<RowDraw> draws;
    Decoder::OnLogits on_logits;
  };
  // A request whose rollouts have not all started.
  struct OpenRequest {
    int32_t request;
    int32_t started;            // rollouts that have started
    int32_t planned;            // rollouts that start in the next step
    TrunkPlace place;           // the request's prefix
    bool asked;                 // whether a step has computed its logits, or is computing them
    std::vector<float> logits;  // after the prefix; empty until they are known
  };

  // Returns the most blocks that a rollout takes beside its trunk.
  int64_t BlocksFor(const RolloutRequest& request) const;
  const SamplingParams& ParamsOf(const RolloutRequest& request) const;
  // Returns how many tokens a rollout has drawn, those of steps in progress included.
  int64_t Drawn(const ActiveRollout& active) const;
  // Returns the number of rollouts that may still be planned for the next step.
  int64_t FreeRows() const;
  // Returns whether some rollouts of a request are neither started nor planned.
  bool HasWaiting(const OpenRequest& open) const;

  // Plans rollouts while there are free rows and memory, and computes their prefixes.
  void Admit(const Progress& progress);
  void Plan(OpenRequest& open);
  // Opens a request and plans its first rollouts. Returns false if memory is short.
  bool Open(std::size_t index);
  // Starts a step that samples one token for every active rollout, and computes the logits after
  // new prefixes. Returns false if there is nothing to do.
  bool StartStep(const Progress& progress);
  // Ends the step that was started first, and records its tokens.
  void FinishStep();
  // Samples the first token of planned rollouts, and closes requests whose rollouts have started.
  void StartAllPlanned();
  DecodeRow NextRow(ActiveRollout& active);
  void StartPlanned(OpenRequest& open);
  // Recomputes a rollout that passes LongRoPE's limit, under the long factors, as a trunk.
  void BecomeLong(ActiveRollout& active, const Progress& progress);
  // Returns the random number for a rollout's token after `drawn` others.
  double Uniform(int32_t request, int32_t rollout, int64_t drawn) const;
  // Appends a token to rollout `number` of request `index`. Returns true if that ends it.
  bool Record(int32_t index, int32_t number, const kernels::Draw& draw);
  bool Stops(const RolloutRequest& request, const Rollout& rollout);
  void Release(ActiveRollout& active);

  const PhiConfig& config_;
  const EngineOptions& options_;
  Decoder& decoder_;
  TrunkCache& trunks_;
  RolloutCounters& counters_;
  std::span<const RolloutRequest> requests_;
  const RolloutSink& finished_;
  std::vector<std::size_t> covers_;  // for each request, the request whose prefix covers its own
  std::vector<std::vector<Rollout>> results_;
  std::vector<std::shared_ptr<ActiveRollout>> active_;
  std::deque<std::unique_ptr<StepInProgress>> steps_;
  std::deque<OpenRequest> open_;
  std::size_t next_request_ = 0;
  kernels::RowSampler sampler_;    // samples first tokens
  std::vector<TokenId> response_;  // the argument of a stop rule
};

}  // namespace pivotal::model
