// Apache-2.0. The steps around the model of tokenizer.json: normalizer, pre_tokenizer, decoder,
// post_processor. For the .cc files of data/ only.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/bpe_tokenizer.h"

namespace pivotal::data {

// Fills normalizer, pre_tokenizers, decoder, frame and settings.byte_level. `root` is the file's
// object, `file` begins the text of an Error, which names the key.
void ReadSteps(const nlohmann::json& root, const std::string& file, BpeTokenizerParts& parts);

// true or false under `key`; null and nothing mean `absent`, or are an Error.
bool ReadFlag(const nlohmann::json& object, const char* key, bool absent, const std::string& where);
bool RequireFlag(const nlohmann::json& object, const char* key, const std::string& where);

}  // namespace pivotal::data
