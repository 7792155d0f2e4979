// Apache-2.0. Tokenizers that are a file of ranks: Phi-3-small's cl100k_base.tiktoken.
#pragma once

#include <filesystem>
#include <memory>

#include "data/tokenizer.h"

namespace pivotal::data {

// The folder's *.tiktoken; empty if it has none. Throws Error if it has several.
std::filesystem::path FindTiktokenFile(const std::filesystem::path& folder);

// Reads FindTiktokenFile(folder) and the added tokens of tokenizer_config.json. The name tells how
// texts are cut into words: cl100k_base.tiktoken or o200k_base.tiktoken. Encodes and decodes as
// Python's tiktoken does. Throws Error with file and line.
std::unique_ptr<const Tokenizer> LoadTiktoken(const std::filesystem::path& folder);

}  // namespace pivotal::data
