// Apache-2.0. Loading a model with its tokenizer and prompt format; problems as its queries.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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
#include "pivotal/served.h"
#include "pivotal/tokenizer.h"

namespace pivotal::experiments {

// Throw Error that names the option, if there is no such type of weights or no such device.
void RequireDType(const ModelSettings& settings);
void RequireDevice(const ModelSettings& settings);

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

// A model as rollouts need it: loaded into this process, or served by others.
class RolloutModel {
 public:
  // Receives each token of a rollout as it is drawn; of served ones, a few at a time.
  using OnToken = std::function<void(TokenId)>;

  // Connects to the servers if `served` has addresses: then only the tokenizer and the chat
  // template of `model.folder` are read, and its device, types and adapter mean nothing. Otherwise
  // loads the model and makes its rollout engine. With `on_token`, one rollout runs at a time.
  RolloutModel(const ModelSettings& model, const ServedSettings& served,
               const SamplingSettings& sampling, const Progress& progress,
               const OnToken& on_token = {});
  // Makes a rollout engine of a loaded model, which must outlive this object.
  RolloutModel(const LoadedModel& loaded, const SamplingSettings& sampling);

  Policy& policy() const { return *policy_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const std::string& system() const { return system_; }
  // Returns the prompt of a conversation's next answer; see LoadedModel::Prompt.
  std::vector<TokenId> Prompt(std::span<const ChatMessage> messages) const;
  // Returns the length of the longest sequence, in tokens; 0: a server does not say it.
  int64_t max_positions() const;
  // Returns true if the token is known to end a sequence.
  bool Ends(TokenId token) const;
  int32_t batch() const { return batch_; }  // of the rollout engine; 0 for servers
  // Returns what is known of the servers; null for a loaded model.
  const ServedFacts* served() const;

 private:
  void MakeEngine(const SamplingSettings& sampling, const OnToken& on_token);

  std::unique_ptr<const LoadedModel> own_;
  const LoadedModel* loaded_ = nullptr;  // null: it is served
  std::unique_ptr<const Tokenizer> own_tokenizer_;
  const Tokenizer* tokenizer_ = nullptr;
  data::PromptFormat prompt_format_ = data::PromptFormat::kPlain;
  std::string system_;
  int32_t batch_ = 0;
  std::unique_ptr<Policy> policy_;
  const ServedPolicy* served_ = nullptr;
};

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
std::vector<Query> MakeQueries(const std::vector<Problem>& problems, const RolloutModel& model);

// Returns true if `text` holds `refusal`, which is no text of a refusal if it is empty.
bool HoldsRefusal(const std::string& text, const std::string& refusal);
// Returns true if another answer than refusing is right.
bool HasAnswer(const Problem& problem, const std::string& refusal);

// Problems, and the oracle that judges responses to them.
struct JudgedProblems {
  std::vector<Problem> problems;
  std::unique_ptr<const Oracle> oracle;
};

// Loads the problems and makes their oracle. Throws Error that names the first problem whose answer
// the oracle cannot read: every response to that problem would fail. It does not read answers of
// problems where only refusing is right.
JudgedProblems LoadJudgedProblems(const ProblemSettings& settings, const std::string& refusal = "");

// Returns how many tokens a response to any of the queries may have: `asked`, or else what the
// longest prompt leaves of the model's `positions` (0: they are not known), which a note says.
// Callers ask before they start, so that work does not fail halfway. Throws Error that names the
// problem if less is left than `asked` and than kLeastRoom: all responses would be cut for the sake
// of one prompt.
int32_t FitNewTokens(const std::vector<Query>& queries, int32_t asked, int64_t positions);
inline constexpr int32_t kLeastRoom = 64;

}  // namespace pivotal::experiments
