// Apache-2.0. Pair files (JSON lines); the format is in data/FORMATS.md.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/example_text.h"
#include "data/preference_pair.h"

namespace pivotal::data {

// Writes pairs as JSON lines that TRL and Hugging Face datasets read as they are:
// prompt/chosen/rejected, then prompt_ids/chosen_ids/rejected_ids, and the estimates.
// Written aside and renamed. Throws Error when the disk is full.
void SavePairs(const std::filesystem::path& path, const std::vector<PreferencePair>& pairs);

// The same without ids and estimates, for programs that refuse columns that they don't know.
void SavePairTexts(const std::filesystem::path& path, const std::vector<PreferencePair>& pairs);

// Reads pairs: ids, which are taken as they are, or text or messages, which are encoded as TRL does
// (data/example_text.h; a side may be just EOS, and both sides the same). Throws Error with file and
// line: no JSON, a missing key, an id outside the tokenizer's vocabulary, a prompt or side without
// tokens, both sides the same ids, weights that do not fit their side.
std::vector<PreferencePair> LoadPairs(const std::filesystem::path& path, const TextCoding& coding);

// One line of a prompt-completion file (TRL's names): `prompt` and `completion` as text or messages,
// or `prompt_ids` and `completion_ids`. Throws Error that begins with `where`.
PromptCompletion ReadPromptCompletion(const nlohmann::json& object, const TextCoding& coding,
                                      const std::string& where);

// Reads prompt-completion lines for next-token training, and lines with `messages`, of which every
// token but the first is trained. A completion without tokens is an Error.
std::vector<PromptCompletion> LoadPromptCompletions(const std::filesystem::path& path,
                                                    const TextCoding& coding);

}  // namespace pivotal::data
