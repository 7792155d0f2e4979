// Apache-2.0. Checkpoints of a training run; the format is in data/FORMATS.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

#include "dpo/trainer.h"

namespace pivotal::experiments {

// The best evaluation so far.
struct Best {
  int64_t step = 0;       // 0: there was none
  double value = 0;       // of the metric
  int64_t since = 0;      // evaluations after it
  int64_t evaluated = 0;  // the last step that was evaluated
};

struct TrainCheckpoint {
  std::filesystem::path folder;
  dpo::TrainState state;
  Best best;
};

// Writes files of the weights into a folder.
using SaveWeightsInto = std::function<void(const std::filesystem::path& folder)>;

// Writes RUN/checkpoint-<step>: the weights, optimizer/, and state.json with the SHA-256 of every
// file, aside and renamed. Then removes all but the newest `keep` checkpoints. On an error nothing is
// left of it.
void SaveTrainCheckpoint(const dpo::TrainState& state, const Best& best, const SaveWeightsInto& weights,
                         const std::filesystem::path& run, int64_t keep);

// Writes RUN/best-<step>, the weights alone, in place of an earlier one.
void SaveBest(int64_t step, const SaveWeightsInto& weights, const std::filesystem::path& run);
std::filesystem::path BestFolder(const std::filesystem::path& run, int64_t step);

// The newest checkpoint of a run that is whole; a warning names each that is not. None if the run
// has no checkpoint at all. Throws Error if all are damaged, or the newest whole one was written
// under another RUN/train.toml.
std::optional<TrainCheckpoint> FindTrainCheckpoint(const std::filesystem::path& run);

}  // namespace pivotal::experiments
