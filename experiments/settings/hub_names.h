// Apache-2.0. Names on the Hugging Face Hub where paths are expected: models, adapters and data
// sets in the cache of the Hub's tools (data/base/hub_cache.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "pivotal/oracle.h"

namespace pivotal::experiments {

// What of a model's folder is needed.
enum class ModelPart : uint8_t {
  kWhole,      // configuration and weights
  kAdapter,    // those of a LoRA adapter
  kTokenizer,  // tokenizer files
  kConfig      // config.json
};

// Returns `text` if something has this path, or if it has not the form of a name. Otherwise returns
// the folder of the name's snapshot. Throws Error with the command that downloads it if the cache
// lacks it, or lacks a file of the part.
std::filesystem::path FindModel(const std::string& text, ModelPart part);

// Replaces a name in `problems.file`, "openai/gsm8k[@REVISION][:[CONFIG/]SPLIT]", by the file in
// the cache, and says in a note which it is; sets the data set of a well-known name where none is
// set. Which files are which configuration and split is told by the data set's card (README.md), or
// else by the names of files and folders. Without a configuration takes the one that the card calls
// the default, "default", "main" or the only one; without a split `split` or the only one. Leaves a
// path as it is. Throws Error that lists what there is where the name does not say enough, and one
// with the command that downloads it where the cache lacks it.
void FindProblems(ProblemSettings& problems, std::string_view split);

}  // namespace pivotal::experiments
