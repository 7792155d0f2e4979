// Apache-2.0. Tokenizers: text to token ids and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal {

using TokenId = int32_t;

// One message of a conversation.
struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// Converts between text and token ids. Objects are immutable; several threads may share one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Returns the ids of `text` without BOS or EOS. Added tokens (for example "<|user|>") inside the
  // text become their single ids. Throws Error with the byte offset for text that is not UTF-8.
  virtual std::vector<TokenId> Encode(std::string_view text) const = 0;
  // Returns Encode(text) with the special tokens that the model's folder asks for around a text.
  virtual std::vector<TokenId> EncodeWithSpecial(std::string_view text) const;
  // Returns the text of `ids`, always valid UTF-8: bytes that belong to no character print U+FFFD
  // (one for each byte or one for each run, as the tokenizer does it). Control tokens (BOS, EOS,
  // PAD) and unused ids print nothing. The blank that SentencePiece puts in front when it encodes
  // is removed only if `at_start`. Never throws.
  virtual std::string Decode(std::span<const TokenId> ids, bool at_start = false) const = 0;
  // Returns one token as people read it: a leading blank as ' ', control tokens by name ("</s>"),
  // bytes as "<0x0A>", unused ids as "<32050>". Never throws.
  virtual std::string Piece(TokenId id) const = 0;
  // Returns the number of ids; every id is below it.
  virtual int32_t VocabSize() const = 0;
  // Return the ids of the beginning and the end of a sequence; -1 if the tokenizer has none.
  virtual TokenId bos() const = 0;
  virtual TokenId eos() const = 0;
  // Returns true if tokenizer_config.json asks for BOS in front of a prompt.
  virtual bool adds_bos() const = 0;
};

// Opens the tokenizer of a Hugging Face folder: tokenizer.json, else tokenizer.model, else
// *.tiktoken, each with tokenizer_config.json. data/FORMATS.md lists what is read of them. Throws
// Error that names the file if there is none, it is damaged, or it asks for something unsupported.
std::unique_ptr<const Tokenizer> LoadTokenizer(const std::filesystem::path& folder);

}  // namespace pivotal
