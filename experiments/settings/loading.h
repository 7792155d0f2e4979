// Apache-2.0. Loading a model with its tokenizer and prompt format; problems as its queries.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/template/prompt_format.h"
#include "model/checkpoint.h"
#include "model/rollout_engine.h"
#include "pivotal/model.h"
#include "pivotal/oracle.h"
#include "pivotal/problem.h"
#include "pivotal/search.h"
#include "pivotal/tokenizer.h"

namespace pivotal::experiments {

// A model with its tokenizer and prompt format, ready for use.
struct LoadedModel {
  model::Checkpoint checkpoint;
  data::PromptFormat prompt_format;
  std::string system;  // ModelSettings::system
  std::string dtype;   // type of the arithmetic; weights mapped from the file may be narrower

  const model::PhiModel& phi() const { return *checkpoint.model; }
  const Tokenizer& tokenizer() const { return *checkpoint.tokenizer; }
  // Encodes a conversation as the prompt of its next answer. Throws Error for a prompt with an
  // image: Phi-3-vision runs as its text model.
  std::vector<TokenId> Prompt(std::span<const ChatMessage> messages) const;
};

// Loads the model. Merges the adapter, where there is one, into the weights, but stays beside
// weights in 4 or 8 bits. `choose`: see model::ReadWeights.
LoadedModel LoadModel(const ModelSettings& settings, const model::ChooseWeights& choose = {});
// Loads the model without its weights (WeightUse::kShapes) and without an adapter.
LoadedModel LoadOutline(const ModelSettings& settings);

// Does the same for a rollout engine of EngineOptionsOf(sampling, ..), which only reads the
// weights. On a GPU the model has the weights in 4 or 8 bits that `sampling` asks for; on a CPU the
// engine makes its own, and an adapter stays beside those in 4 bits.
LoadedModel LoadForRollouts(const ModelSettings& settings, const SamplingSettings& sampling);

// Returns a SHA-256 that changes with the weights and with the adapter.
std::string ModelFingerprint(const ModelSettings& settings);

// Returns the options of a rollout engine. With `model`, its weight type stands for "auto": how it
// stores the weights of linear layers, or else the type of its arithmetic. On a GPU the weights are
// the model's own, and what the settings leave open is chosen by the memory that is free. Throws
// Error that names the setting that is out of range.
model::EngineOptions EngineOptionsOf(const SamplingSettings& settings);
model::EngineOptions EngineOptionsOf(const SamplingSettings& settings, const LoadedModel& model);

// Encodes each problem's question as a prompt of `model`.
std::vector<Query> MakeQueries(const std::vector<Problem>& problems, const LoadedModel& model);

// Throws Error that names the first problem whose answer `oracle` cannot read: every response to
// that problem would fail.
void CheckAnswers(const Oracle& oracle, const std::vector<Problem>& problems,
                  const ProblemSettings& settings);

// Throws Error that names the problem with the longest prompt if that and the longest response
// exceed the model's positions. Callers check before they start, so that work does not fail
// halfway.
void CheckLengths(const std::vector<Query>& queries, int32_t max_new_tokens,
                  const model::PhiConfig& config);

}  // namespace pivotal::experiments
