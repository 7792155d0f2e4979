// Apache-2.0. The demo: search, pairs, DPO and a measured difference on the tiny model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "pivotal/model.h"
#include "pivotal/progress.h"
#include "pivotal/search.h"
#include "pivotal/training.h"

namespace pivotal::experiments {

struct DemoSettings {
  std::filesystem::path tiny;    // folder with model/ and problems/
  std::filesystem::path output;  // folder to make
  std::string device = "auto";
  uint64_t seed = 1;                 // of rollouts and of the order of training data
  std::size_t train_problems = 150;  // problems to search; 0: all
  std::size_t heldout_problems = 0;  // problems to evaluate on; 0: all
  int32_t eval_samples = 4;          // sampled responses to each held-out problem
  bool control = false;              // also trains on as many pairs of random tokens

  DemoSettings();
  // Settings of the steps; the demo sets their paths and seeds.
  SearchOptions search;
  SamplingSettings sampling;
  TrainSettings train;
};

// Shows a text to people at once.
using Say = std::function<void(std::string_view text)>;

// Runs the demo and says what it does: first its parts and about how long each takes, by a short
// look at how fast this machine is; then each part as it begins and ends; some searched responses,
// coloured or with [brackets]; a table of accuracies and costs; and the commands that do the same
// with another model. Writes OUTPUT/run (the search and pairs.jsonl), OUTPUT/model (the trained
// model) and, for the control, OUTPUT/random-pairs.jsonl and OUTPUT/control-model. Throws Error as
// the steps do.
void RunDemo(const DemoSettings& settings, bool colour, const Say& say, Progress& progress);

}  // namespace pivotal::experiments
