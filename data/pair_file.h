// Apache-2.0. Pair files (JSON lines); the format is in data/FORMATS.md.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/preference_pair.h"
#include "data/tokenizer.h"

namespace pivotal::data {

// Writes pairs as JSON lines that TRL and Hugging Face datasets read as they are:
// prompt/chosen/rejected, then prompt_ids/chosen_ids/rejected_ids, and the estimates.
// Written aside and renamed. Throws Error when the disk is full.
void SavePairs(const std::filesystem::path& path, const std::vector<PreferencePair>& pairs);

// Reads pairs. Ids are taken as they are; lines without ids are encoded with `tokenizer` (BOS in
// front of the prompt where it asks for it). Throws Error with file and line: no JSON, a missing
// key, an id outside the tokenizer's vocabulary, an empty side, both sides equal.
std::vector<PreferencePair> LoadPairs(const std::filesystem::path& path,
                                      const Tokenizer& tokenizer);

// One line of a prompt-completion file (TRL's names): `prompt` and `completion` as text, or
// `prompt_ids` and `completion_ids`. Throws Error that begins with `where`.
PromptCompletion ReadPromptCompletion(const nlohmann::json& object, const Tokenizer& tokenizer,
                                      const std::string& where);

// Reads prompt-completion lines for next-token training. EOS is appended to a completion that is
// given as text, unless the tokenizer has none; an empty completion is an Error.
std::vector<PromptCompletion> LoadPromptCompletions(const std::filesystem::path& path,
                                                    const Tokenizer& tokenizer);

}  // namespace pivotal::data
