// Apache-2.0. The files that a training run writes: checkpoints, best weights, and log.jsonl. Their
// formats are in data/FORMATS.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "dpo/trainer.h"
#include "experiments/train/event_log.h"
#include "experiments/train/log_file.h"
#include "pivotal/training.h"

namespace pivotal::experiments {

// Holds a checkpoint that was read, except for the weights, which are in `folder`.
struct TrainCheckpoint {
  std::filesystem::path folder;
  dpo::TrainState state;
  BestEvaluation best;
};

// Writes the files of the weights into `folder`.
using SaveWeightsInto = std::function<void(const std::filesystem::path& folder)>;

// Writes RUN/checkpoint-<step> under a temporary name, then renames it: the weights, optimizer/,
// reference/ (of a reference that follows) and state.json with the SHA-256 of every file. `fetch`
// returns the tensors of the optimizer's state. Then removes all checkpoints but the newest `keep`.
// Throws Error if it fails, and removes what it has written.
void SaveTrainCheckpoint(const dpo::TrainState& state, const BestEvaluation& best,
                         const SaveWeightsInto& weights, const model::FetchTensor& fetch,
                         const std::filesystem::path& run, int64_t keep);

// Returns the newest intact checkpoint of a run, or nothing if the run has no checkpoints. Warns of
// each damaged one. Throws Error if all are damaged, or if RUN/train.toml has changed since the
// newest intact one was written.
std::optional<TrainCheckpoint> FindTrainCheckpoint(const std::filesystem::path& run);

// Returns how many checkpoints a run has, whole or damaged; 0 for a folder that does not exist.
int64_t CountCheckpoints(const std::filesystem::path& run);
// Returns the name of the newest one, "checkpoint-<step>"; "" if there is none.
std::string NewestCheckpoint(const std::filesystem::path& run);

// Writes the weights into RUN/best-<step> and removes the folder of an earlier best step.
void SaveBest(int64_t step, const SaveWeightsInto& weights, const std::filesystem::path& run);
std::filesystem::path BestFolder(const std::filesystem::path& run, int64_t step);

// Writes log.jsonl, one JSON object per line, and with a folder for TensorBoard the same numbers
// into an event file there. Nothing that goes wrong with them ends a training: see LogFile.
class TrainLog {
 public:
  // Opens `path` to continue after `step`; removes lines of later steps and an incomplete last
  // line. Writes event files into `tensorboard` unless that is "".
  TrainLog(const std::filesystem::path& path, int64_t step,
           const std::filesystem::path& tensorboard = {});
  // Adds the line of an optimizer step. Warns if it cannot be written, unless others wait already.
  void Add(const StepLog& log);
  // Adds the line of an evaluation after `step`. Warns as above.
  void Add(int64_t step, const std::map<std::string, double>& measured);
  // Tries to write the lines that wait. Warns if there still are some.
  void Finish();

 private:
  void Write(const nlohmann::ordered_json& line);

  LogFile file_;
  std::optional<EventLog> events_;
};

// Reads FOLDER/log.jsonl and returns its numbers for a report's page: {"name", "series"}, see
// experiments/report/page/DATA.md.
nlohmann::ordered_json TrainingSeries(const std::string& name, const std::filesystem::path& folder);

}  // namespace pivotal::experiments
