// Apache-2.0. The tokenizer of folders with a tokenizer.model: SentencePiece plus added tokens.
#pragma once

#include <filesystem>
#include <memory>

#include "data/tokenizer.h"

namespace pivotal::data {

// Reads tokenizer.model (which must be there), tokenizer_config.json and added_tokens.json.
std::unique_ptr<const Tokenizer> LoadSentencePiece(const std::filesystem::path& folder);

}  // namespace pivotal::data
