// Apache-2.0. Decodes a response token by token, e.g. for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::data {

// The pieces that Add() and Finish() return, joined, are tokenizer.Decode() of all tokens; each piece
// is whole characters. Only where byte tokens form no text may they hold fewer U+FFFD, as what a
// tokenizer.json's decoder would take back has been returned. A token is decoded a bounded number of times: what it costs does not grow with
// the response. The tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool at_start = false)
      : tokenizer_(tokenizer), at_start_(at_start) {}

  // The text that is certain now that `token` is there; often the token's own, "" while its bytes
  // may still become part of a character.
  std::string Add(TokenId token);
  // What is left, as Decode prints it; begins anew, not at the start of a text.
  std::string Finish();

 private:
  std::string Print(std::string_view text, std::size_t end);
  std::string Settle(std::string_view text);
  void Forget();

  const Tokenizer& tokenizer_;
  bool at_start_;
  std::vector<TokenId> pending_;        // its last character may be unfinished
  std::vector<std::size_t> printing_;  // places in pending_ of the tokens that print something
  std::size_t printed_ = 0;            // bytes of Decode(pending_) that were returned
};

}  // namespace pivotal::data
