// Apache-2.0. The demo: search, pairs, DPO and a measured difference on a shipped model.
#pragma once

#include <array>
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

// A shipped model with its problems, and what the parts of the demo cost there.
struct DemoWorld {
  std::string_view name, model;
  std::size_t train_problems;  // to search, unless somebody chooses another number
  int32_t max_new_tokens;
  // In sampled tokens of the model, measured on a CPU with AVX-512 with the demo's own settings:
  // what a search costs for each problem, with all that it does beside sampling, and training for
  // each pair and epoch, with the reference's scores.
  double search_tokens, train_tokens;
  double pairs;  // for each problem
};
inline constexpr std::array<DemoWorld, 2> kDemoWorlds = {
    {{"tiny", "a Phi-3 of 1.1 million parameters", 150, 64, 1600, 50, 2.4},
     {"small", "a Phi-3 of 5.7 million parameters that answers chats", 40, 160, 5300, 120, 5.5}}};

struct DemoSettings {
  DemoWorld world = kDemoWorlds[0];
  std::filesystem::path folder;  // with model/ and problems/ of this world
  std::filesystem::path output;  // folder to make
  std::string device = "auto";
  uint64_t seed = 1;  // of rollouts and of the order of training data
  std::size_t train_problems = world.train_problems;  // problems to search; 0: all
  std::size_t heldout_problems = 0;                   // problems to evaluate on; 0: all
  int32_t eval_samples = 4;                           // sampled responses to each held-out problem
  bool control = false;  // also trains on as many pairs of random tokens

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
