// Apache-2.0. Trains the SentencePiece tokenizers of the shipped models.
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

// Trains a tokenizer for chats, with the special tokens and the chat template of
// Phi-4-mini-instruct: BPE with byte fallback and split digits, and no blank before a text. Ids
// 0..5 are <unk>, <|endoftext|>, <|system|>, <|user|>, <|assistant|>, <|end|>. Writes
// tokenizer.json, tokenizer_config.json, chat_template.jinja and generation_config.json into
// `folder`.
void TrainChatTokenizer(const std::vector<std::string>& texts, int vocab_size,
                        const std::filesystem::path& folder);

}  // namespace pivotal::tiny
