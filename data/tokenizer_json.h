// Apache-2.0. tokenizer.json, the file of Hugging Face tokenizers.
#pragma once

#include <filesystem>
#include <memory>

#include "data/tokenizer.h"

namespace pivotal::data {

// Reads tokenizer.json (which must be there) and tokenizer_config.json. Encodes and decodes as
// Hugging Face tokenizers does; what can't be is refused by an Error with file and key, and so are
// ids that tokenizers would not give out although the file says so.
std::unique_ptr<const Tokenizer> LoadTokenizerJson(const std::filesystem::path& folder);

}  // namespace pivotal::data
