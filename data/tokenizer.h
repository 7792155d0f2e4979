// Apache-2.0. Text to token ids and back.
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

namespace data {

// Thread-safe and immutable after construction.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of `text`, without BOS or EOS. Added tokens (e.g. "<|user|>") inside the text become their
  // single ids. Throws Error for text that is not UTF-8, with the byte offset.
  virtual std::vector<TokenId> Encode(std::string_view text) const = 0;

  // As Encode, with the special tokens that the folder asks for around a text.
  virtual std::vector<TokenId> EncodeWithSpecial(std::string_view text) const;

  // Text of `ids`, always valid UTF-8 (bytes that belong to no character print U+FFFD; whether one
  // for each byte or for each run is the tokenizer's); control tokens (BOS, EOS, PAD) and ids that
  // stand for nothing print nothing. The leading blank that SentencePiece adds when it encodes is
  // removed only where `at_start`. Never throws.
  virtual std::string Decode(std::span<const TokenId> ids, bool at_start = false) const = 0;

  // The surface of one token for display: its blank as ' ', control tokens by name ("</s>"), bytes
  // as "<0x0A>", an id that stands for nothing as "<32050>". Never throws.
  virtual std::string Piece(TokenId id) const = 0;

  // Number of ids; every id given out is below it.
  virtual int32_t VocabSize() const = 0;
  // -1 where the tokenizer has none.
  virtual TokenId bos() const = 0;
  virtual TokenId eos() const = 0;
  // True if tokenizer_config.json asks for BOS in front of a prompt.
  virtual bool adds_bos() const = 0;
};

// Opens the tokenizer of a Hugging Face folder: tokenizer.json, or else tokenizer.model, or else
// *.tiktoken; tokenizer_config.json beside it. What is read of them is in data/FORMATS.md. Throws
// Error that names the file if there is none or it is damaged or asks for what is not supported.
std::unique_ptr<const Tokenizer> LoadTokenizer(const std::filesystem::path& folder);

}  // namespace data
}  // namespace pivotal
