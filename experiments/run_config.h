// Apache-2.0. Every setting of a search, and run.toml, which keeps them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/problem_set.h"
#include "data/prompt_format.h"
#include "model/checkpoint.h"
#include "model/rollout_engine.h"
#include "pts/oracles/oracle.h"
#include "pts/search.h"

namespace pivotal::experiments {

struct ModelSettings {
  std::filesystem::path folder;      // Hugging Face folder
  std::string adapter;               // folder of a LoRA adapter for it (PEFT); "": none
  std::string device = "auto";       // model::ParseDevice
  std::string dtype = "float32";     // model::ParseDType
  std::string prompt_format = "auto";  // data::MakePromptFormat
  std::string system;                // system message in front of every question; "": none
};
// Visits what a settings file keeps in [model], but the folder: f(section, key, value).
template <typename Settings, typename F>
void ForEachModelSetting(Settings& settings, F&& f) {
  f("model", "adapter", settings.adapter);
  f("model", "device", settings.device);
  f("model", "dtype", settings.dtype);
  f("model", "prompt_format", settings.prompt_format);
  f("model", "system", settings.system);
}

struct ProblemSettings {
  std::filesystem::path file;
  data::ProblemSetOptions options;
  std::string oracle = "hash";  // pts::MakeOracle
  pts::OracleOptions oracle_options;
};

struct SamplingSettings {
  kernels::SamplingParams params;
  int32_t max_new_tokens = 256;
  int32_t batch = 256;  // rollouts that decode at once
  int64_t kv_memory = 0;         // bytes, see model::EngineOptions
  std::vector<std::string> stop;  // texts that end a response
  std::string weights = "auto";  // kernels::FindWeightType; auto: as --dtype
  uint64_t seed = 1;
};

// Everything that decides what a search finds.
struct RunConfig {
  ModelSettings model;
  ProblemSettings problems;
  SamplingSettings sampling;
  std::string strategy = "anchored";  // pts::ParseStrategy
  pts::SearchOptions search;  // its kind and max_new_tokens are taken from `strategy` and `sampling`
};

// Writes RUN/run.toml with the version and the fingerprint of the weights.
void SaveRunConfig(const RunConfig& config, const std::string& weights_sha256,
                   const std::filesystem::path& run);
// Reads RUN/run.toml. Throws Error that names file and line; `weights_sha256` as it was saved.
RunConfig LoadRunConfig(const std::filesystem::path& run, std::string* weights_sha256 = nullptr);

class SettingsFile;
// Puts the settings that a file has, by the names of run.toml, in place of `config`'s. Throws Error for a name that is
// no setting, or a value of another type.
void ApplySettings(const SettingsFile& file, RunConfig& config);
// All settings, without the paths of the model and the problems: equal where searches with the same are.
std::string SettingsText(const RunConfig& config);

// A model with its tokenizer and prompt format, ready for use.
struct LoadedModel {
  model::Checkpoint checkpoint;
  data::PromptFormat prompt_format;
  std::string system;
  std::string dtype;  // of the arithmetic: mapped weights may be narrower

  const model::PhiModel& phi() const { return *checkpoint.model; }
  const data::Tokenizer& tokenizer() const { return *checkpoint.tokenizer; }
  // The prompt of a conversation. Throws Error for one that points at an image: Phi-3-vision runs
  // as its text model.
  std::vector<TokenId> Prompt(std::span<const data::ChatMessage> messages) const;
};
// With the adapter, if there is one, merged into the weights.
LoadedModel LoadModel(const ModelSettings& settings, model::WeightUse use = model::WeightUse::kAny);

// SHA-256 that changes with the weights and with the adapter.
std::string ModelFingerprint(const ModelSettings& settings);

// Throws Error that names the first problem whose answer `oracle` cannot read: it would fail every
// response silently.
void CheckAnswers(const pts::Oracle& oracle, const std::vector<data::Problem>& problems,
                  const ProblemSettings& settings);

// Throws Error for bad settings.
model::EngineOptions EngineOptionsOf(const SamplingSettings& settings);
// For an engine of `model`.
model::EngineOptions EngineOptionsOf(const SamplingSettings& settings, const LoadedModel& model);

// Problems as the model sees them.
std::vector<pts::Query> MakeQueries(const std::vector<data::Problem>& problems,
                                    const LoadedModel& model);

// Throws Error that names the first problem whose prompt and response can be longer than the model's
// positions: work must not fail at its hundredth problem.
void CheckLengths(const std::vector<pts::Query>& queries, int32_t max_new_tokens,
                  const model::PhiConfig& config);

// The text of a response, up to the first of the texts `stop`; <think> and </think> stay readable where they are
// control tokens. The tokenizer must outlive the function; several threads may call it.
std::function<std::string(std::span<const TokenId>)> MakeResponseText(const data::Tokenizer& tokenizer,
                                                                      const std::vector<std::string>& stop = {});

// Asks `oracle` about that text. Both must outlive the function.
pts::Judge MakeJudge(const data::Tokenizer& tokenizer, const pts::Oracle& oracle,
                     const std::vector<std::string>& stop = {});

// Empty where there are no texts. The tokenizer must outlive the rule.
model::StopRule MakeStopRule(const data::Tokenizer& tokenizer, const std::vector<std::string>& stop);

}  // namespace pivotal::experiments
