// Apache-2.0. Trains the tiny model's SentencePiece tokenizer.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pivotal::tiny {

// Trains a tokenizer like Phi-3's: BPE with byte fallback and split digits; ids 0..3 are <unk>,
// <s>, </s>, <pad>. Writes tokenizer.model, tokenizer.json (the same tokenizer),
// tokenizer_config.json and generation_config.json into `folder`.
void TrainTokenizer(const std::vector<std::string>& texts, int vocab_size,
                    const std::filesystem::path& folder);

}  // namespace pivotal::tiny
