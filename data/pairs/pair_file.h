// Apache-2.0. Reading files of pairs and of prompt-completion lines (JSON lines, data/FORMATS.md).
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "data/pairs/example_text.h"
#include "pivotal/pairs.h"

namespace pivotal::data {

// Reads pairs. Ids are taken as they are. Text and messages are encoded as TRL does
// (data/pairs/example_text.h); there a side may be EOS alone, and both sides may be equal. Throws
// Error with file and line for a line that is not JSON, a missing key, an id outside the
// tokenizer's vocabulary, a prompt or side without tokens, two sides with equal ids, weights
// that do not fit their side, or a weight below 0.
std::vector<PreferencePair> LoadPairs(const std::filesystem::path& path, const TextCoding& coding);

// Reads completions that are good or bad: `prompt` and `completion` as text or messages, or as ids,
// and `label`, true for a good one. A line of a pair becomes two examples; the rejected sides of
// all pairs come after all other examples, as TRL unpairs up to 1000 pairs. Throws Error as
// LoadPairs does, and for a line without a label.
std::vector<UnpairedExample> LoadUnpaired(const std::filesystem::path& path,
                                          const TextCoding& coding);

// Reads completions with advantages: `prompt` and `completion` as text or messages, or as ids, and
// `advantages`, a number for all tokens or one for each id. Throws Error as LoadPairs does, and for
// a line without advantages, or with numbers that are not as many as its ids.
std::vector<AdvantageExample> LoadAdvantages(const std::filesystem::path& path,
                                             const TextCoding& coding);

// Return the line of a pair in a file of pairs, and of an example in a file of advantages.
std::string ToLine(const PreferencePair& pair);
std::string ToLine(const AdvantageExample& example);

// Reads one line of a prompt-completion file: `prompt` and `completion` (TRL's names) as text or
// messages, or `prompt_ids` and `completion_ids`. Throws Error that begins with `where`.
PromptCompletion ReadPromptCompletion(const nlohmann::json& object, const TextCoding& coding,
                                      const std::string& where);

// Reads prompt-completion lines for next-token training, and lines with `messages`, of which all
// tokens but the first are trained. Throws Error for a completion without tokens.
std::vector<PromptCompletion> LoadPromptCompletions(const std::filesystem::path& path,
                                                    const TextCoding& coding);

}  // namespace pivotal::data
