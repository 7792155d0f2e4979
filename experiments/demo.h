// Apache-2.0. The main job in one go: search, pairs, DPO and a measured difference.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "data/progress.h"
#include "experiments/accuracy.h"
#include "experiments/run_config.h"
#include "experiments/search_run.h"
#include "experiments/train_run.h"

namespace pivotal::experiments {

struct DemoSettings {
  std::filesystem::path tiny;     // folder that holds model/ and problems/
  std::filesystem::path output;   // folder to make
  std::string device = "auto";
  uint64_t seed = 1;              // of rollouts and of the data order
  std::size_t train_problems = 150;   // searched; 0: all
  std::size_t heldout_problems = 0;   // evaluated; 0: all
  int32_t eval_samples = 4;
  bool control = false;           // also train on as many random single-token pairs

  DemoSettings();
  // What the steps run with; the demo fills in paths and seeds.
  pts::SearchOptions search;
  SamplingSettings sampling;
  TrainSettings train;
};

struct DemoResult {
  SearchResult search;
  int64_t pairs = 0;
  Accuracy before, after;
  std::optional<Accuracy> control;
  dpo::StepLog training;
  double seconds = 0;
};

// Writes OUTPUT/run (search and pairs.jsonl), OUTPUT/model (the trained folder) and, for the
// control, OUTPUT/random-pairs.jsonl and OUTPUT/control-model. Throws like the steps do.
DemoResult RunDemo(const DemoSettings& settings, Progress& progress);

}  // namespace pivotal::experiments
