// Apache-2.0. Runs in the files of other programs: codelion/pts's events, right completions to
// train on, and hidden states to steer a model by.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/traces/event_file.h"
#include "experiments/search/run_config.h"
#include "pivotal/model.h"
#include "pivotal/pairs.h"
#include "pivotal/progress.h"

namespace pivotal::experiments {

// Returns the time of day as events store it (UTC, ISO 8601).
std::string EventTimestamp();

// Returns the pivotal tokens of a run that LoadFindings() keeps, as events. Needs the tokenizer of
// the run's model, not the weights.
std::vector<data::PivotalEvent> EventsOfRun(const std::filesystem::path& run,
                                            const RunConfig& config, double max_false_share);

// Writes EventsOfRun() (data/traces/event_file.h) and returns their number.
int64_t ExportEvents(const std::filesystem::path& run, const std::filesystem::path& output,
                     double max_false_share = 1);

struct ImportSummary {
  int64_t events = 0;
  int64_t skipped = 0;  // lines with events of other types
  int64_t problems = 0;
  int64_t responses = 0;
};

// Makes a run folder of an event file, for the commands that read runs. It holds the problems and
// the parts of responses that events tell of; rollouts, log-probabilities and verdicts are not in
// such files. Contexts without ids are encoded by the model's tokenizer. The longest common prefix
// of a query's contexts counts as its prompt if the file does not say. Throws Error that names the
// event whose token is not in the vocabulary.
ImportSummary ImportEvents(const std::filesystem::path& events, const ModelSettings& model,
                           const std::filesystem::path& run);

struct CompletionSummary {
  int64_t completions = 0;
  int64_t tokens = 0;                 // of completions
  int64_t problems = 0, without = 0;  // of the run; those that gave no completion
  int64_t cut = 0;                    // right ones that were left out, as their end is missing
};

// Writes BuildRightCompletions() of a run. Needs the tokenizer of the run's model, not the weights.
// Throws Error for an imported run, which has no verdicts.
CompletionSummary ExportRightCompletions(const std::filesystem::path& run,
                                         const std::filesystem::path& output,
                                         const RightCompletionOptions& options);

struct SteeringSummary {
  int64_t tokens = 0, pairs = 0, layers = 0;
};

// Writes JSON lines with hidden states; loads the run's model. For each pivotal token that
// LoadFindings() keeps and each layer: {id, position, token, delta, sentence_category, layer,
// hidden}, where sentence_category is that of the token's sentence (pts::KindOf) and hidden is the
// layer's output [hidden] at the token before the pivotal one. Then for each layer: {layer,
// pairs, mean_difference}, the mean over the run's pairs (BuildPairs under the run's gap) of the
// layer's output at the chosen token minus the output at the rejected one. Layers count from 0, as
// modules of transformers do.
SteeringSummary ExportSteering(const std::filesystem::path& run,
                               const std::filesystem::path& output, Progress& progress,
                               double max_false_share = 1);

}  // namespace pivotal::experiments
