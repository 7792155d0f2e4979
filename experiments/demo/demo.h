// Apache-2.0. The demo: search, pairs, DPO and a measured difference on the tiny model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

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

// Returns lines of text for people: what the demo will do and about how long it takes.
std::string DemoPlan(const DemoSettings& settings);

// Runs the demo. Writes OUTPUT/run (the search and pairs.jsonl), OUTPUT/model (the trained model)
// and, for the control, OUTPUT/random-pairs.jsonl and OUTPUT/control-model. Returns some searched
// responses, coloured or with [brackets], and a table of accuracies and costs. Throws Error as the
// steps do.
std::string RunDemo(const DemoSettings& settings, bool colour, Progress& progress);

}  // namespace pivotal::experiments
