// Apache-2.0. Between run folders and codelion/pts's event files.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/event_file.h"
#include "experiments/run_config.h"

namespace pivotal::experiments {

// The pivotal tokens of a run; needs the tokenizer of its model, not the weights.
std::vector<data::PivotalEvent> EventsOfRun(const std::filesystem::path& run);

struct ImportSummary {
  int64_t events = 0, skipped = 0;  // skipped: of another type
  int64_t problems = 0, responses = 0;
};

// Makes a run folder of an event file, for the commands that read runs: problems and responses as far as events tell of
// them. Contexts without ids are encoded by the model's tokenizer; what all contexts of a query begin with is taken
// for its prompt where the file does not say. Rollouts, log-probabilities and verdicts are not in such files. Throws
// Error that names the event's place for a token that is not in the vocabulary.
ImportSummary ImportEvents(const std::filesystem::path& events, const ModelSettings& model,
                           const std::filesystem::path& run);

}  // namespace pivotal::experiments
