// Apache-2.0. A tokenizer whose ids can be checked by eye: each byte is a token, " 4" is token 256
// and
// "</s>" is EOS.
#pragma once

#include <string>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::testing {

class ByteTokenizer : public Tokenizer {
 public:
  static constexpr TokenId kBlank4 = 256, kBos = 257, kEos = 258;

  explicit ByteTokenizer(bool adds_bos = true, TokenId eos = kEos)
      : adds_bos_(adds_bos), eos_(eos) {}

  std::vector<TokenId> Encode(std::string_view text) const override {
    std::vector<TokenId> ids;
    while (!text.empty()) {
      const bool pair = text.starts_with(" 4"), eos = text.starts_with("</s>");
      ids.push_back(pair ? kBlank4 : eos ? kEos : static_cast<unsigned char>(text[0]));
      text.remove_prefix(pair ? 2 : eos ? 4 : 1);
    }
    return ids;
  }
  std::string Decode(std::span<const TokenId> ids, bool) const override {
    std::string text;
    for (const TokenId id : ids) text += id == kEos ? "" : Piece(id);
    return text;
  }
  std::string Piece(TokenId id) const override {
    return id == kBlank4 ? " 4"
           : id == kEos  ? "</s>"
           : id < 256    ? std::string(1, static_cast<char>(id))
                         : "";
  }
  int32_t VocabSize() const override { return 259; }
  TokenId bos() const override { return kBos; }
  TokenId eos() const override { return eos_; }
  bool adds_bos() const override { return adds_bos_; }

 private:
  bool adds_bos_;
  TokenId eos_;
};

}  // namespace pivotal::testing
