// Apache-2.0. Phi models from Hugging Face folders, as prompts and policies need them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pivotal/pairs.h"
#include "pivotal/policy.h"
#include "pivotal/problem.h"
#include "pivotal/search.h"
#include "pivotal/tokenizer.h"

namespace pivotal {

namespace experiments {
struct LoadedModel;
}

struct ModelSettings {
  std::filesystem::path folder;   // Hugging Face folder: config.json, *.safetensors, tokenizer
  std::string adapter;            // folder of a LoRA adapter in PEFT's files; "": none
  std::string device = "auto";    // "auto" (CUDA if there is one), "cpu", "cuda", "cuda:N"
  std::string dtype = "float32";  // "float32", "bfloat16" or "float16"
  // Storage of the decoder's linear layers: "auto" (as dtype), "nf4" (4 bits) or "int8". Such
  // weights are neither trained nor written; an adapter stays beside them.
  std::string base_weights = "auto";
  std::string prompt_format = "auto";  // "auto", "template", "phi-2", "phi-3", "phi-4" or "plain"
  std::string system;                  // system message before every question; "": none
};

struct SamplingSettings {
  SamplingParams params;
  int32_t max_new_tokens = 256;  // of one response; 1 or more
  // Rollouts that decode at once; 0: by the device, 256 on a CPU, up to 1,024 on a GPU that has the
  // memory.
  int32_t batch = 0;
  int64_t kv_memory = 0;          // bytes for keys and values; 0: by the memory that is free
  std::vector<std::string> stop;  // texts that end a response
  // Storage of the weights for decoding on a CPU: "auto" (as the model has them), "fp32", "bf16",
  // "fp16", "int8" or "nf4". A GPU reads the model's own.
  std::string weights = "auto";
  uint64_t seed = 1;
};

// A model with its tokenizer and prompt format. Objects can be moved, not copied.
class Model {
 public:
  // Loads the model, with its adapter merged into the weights (ModelSettings::base_weights). Throws
  // Error that names the file if something is missing, damaged, or of another architecture.
  static Model Load(const ModelSettings& settings);
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const Tokenizer& tokenizer() const;
  // Returns the length of the longest sequence that the model can read, in tokens.
  int64_t max_positions() const;
  // Return the token ids of a question (behind the system message) or of a conversation, ready for
  // the model's answer. Throw Error for a message that the prompt format has no place for.
  std::vector<TokenId> Prompt(std::string_view question) const;
  std::vector<TokenId> Prompt(std::span<const ChatMessage> messages) const;
  // Returns the problems as queries. Throws Error if `max_new_tokens` is below 1, and one that
  // names the problem with the longest prompt if that and `max_new_tokens` are longer than
  // max_positions().
  std::vector<Query> Queries(const std::vector<Problem>& problems, int32_t max_new_tokens) const;
  // Returns a policy of the weights as they are now: continuous batching over shared prefixes. On a
  // CPU a rollout depends only on the weights, its prefix, the sampling parameters and its key, to
  // the bit. The model must outlive the policy. Throws Error for bad settings or too little memory.
  std::unique_ptr<Policy> MakePolicy(const SamplingSettings& settings) const;

 private:
  friend std::vector<PreferencePair> LoadPairs(const std::filesystem::path& path,
                                               const Model& model);
  explicit Model(std::unique_ptr<const experiments::LoadedModel> loaded);
  std::unique_ptr<const experiments::LoadedModel> loaded_;
};

// Reads a pair file: ids are taken as they are; text and messages are encoded as TRL does, by the
// tokenizer and prompt format of `model`. Throws Error with file and line: no JSON, a missing key,
// an id outside the vocabulary, a prompt or side without tokens, equal sides, weights that do not
// fit.
std::vector<PreferencePair> LoadPairs(const std::filesystem::path& path, const Model& model);

}  // namespace pivotal
