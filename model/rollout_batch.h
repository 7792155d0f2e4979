// Apache-2.0. One call of RolloutEngine::Sample: which rollouts decode when.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "kernels/sample_row.h"
#include "model/decoder.h"
#include "model/phi_config.h"
#include "model/policy.h"
#include "model/rollout_engine.h"
#include "model/trunk_memory.h"

namespace pivotal::model {

// Continuous batching: a finished rollout's place is taken by the next one at once; those that find no
// memory wait. Blocks and trunks go back when the object goes, whatever ended it.
class RolloutBatch {
 public:
  // All outlive it. Throws Error for a bad request, see RolloutEngine::Sample.
  RolloutBatch(const PhiConfig& config, const EngineOptions& options, Decoder& decoder, TrunkMemory& trunks,
               RolloutCounters& counters, std::span<const RolloutRequest> requests, const RolloutSink& finished);
  ~RolloutBatch();
  RolloutBatch(const RolloutBatch&) = delete;
  RolloutBatch& operator=(const RolloutBatch&) = delete;

  // Once.
  std::vector<std::vector<Rollout>> Run(const Progress& progress);

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

  // Blocks that a rollout takes at most, its trunk aside.
  int64_t BlocksFor(const RolloutRequest& request) const;
  const kernels::SamplingParams& ParamsOf(const RolloutRequest& request) const;
  int64_t Free() const;
  bool Waits(const Opened& opened) const;

  // Plans rollouts for the free slots, as far as memory allows, and computes their prefixes.
  void Admit(const Progress& progress);
  void Plan(Opened& opened);
  bool Open(std::size_t index);
  // One token for every rollout at work, and the first for those that are planned.
  void Step(const Progress& progress);
  DecodeRow NextRow(Slot& slot);
  void StartPlanned(Opened& opened);
  // Computes what a rollout has so far anew, under the long factors, as a trunk.
  void BecomeLong(Slot& slot, const Progress& progress);
  double Uniform(int32_t request, int32_t rollout) const;
  // Appends a token to its rollout; true if that ended it.
  bool Record(int32_t index, int32_t number, const kernels::Draw& draw);
  bool Stops(const RolloutRequest& request, const Rollout& rollout);
  void Release(Slot& slot);

  const PhiConfig& config_;
  const EngineOptions& options_;
  Decoder& decoder_;
  TrunkMemory& trunks_;
  RolloutCounters& counters_;
  std::span<const RolloutRequest> requests_;
  const RolloutSink& finished_;
  std::vector<std::size_t> covers_;
  std::vector<std::vector<Rollout>> results_;
  std::vector<Slot> slots_;
  std::deque<Opened> opened_;
  std::size_t next_request_ = 0;
  std::vector<DecodeRow> rows_;
  std::vector<RowDraw> draws_;
  std::vector<uint8_t> ended_;
  kernels::RowSampler sampler_;                // of first tokens
  std::vector<TokenId> response_;              // that a stop rule looks at
};

}  // namespace pivotal::model
