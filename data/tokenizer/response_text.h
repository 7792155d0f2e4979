// Apache-2.0. The text of a response while its tokens arrive.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::data {

// Throws Error if one of the stop strings is empty.
void RequireStopStrings(std::span<const std::string> texts);

// Stop strings: texts that end a response, for models that continue after their answer.
class StopStrings {
 public:
  // Throws Error for an empty text. The tokenizer must outlive this object.
  StopStrings(const Tokenizer& tokenizer, std::vector<std::string> texts);

  // Returns true if the last token of `response` completes a stop string. Assumes that no earlier
  // token did: it decodes only the end of the response.
  bool Ends(std::span<const TokenId> response) const;

  // Returns the part of `text` before its first stop string, or all of it.
  std::string_view Before(std::string_view text) const;

  // Returns Before(text) without an end that may turn out to begin a stop string: the part that can
  // be shown already.
  std::string_view Certain(std::string_view text) const;

 private:
  const Tokenizer* tokenizer_;
  std::vector<std::string> texts_;
  std::size_t longest_ = 0;  // size in bytes of the longest stop string
};

// Decodes a response token by token, e.g. for a terminal.
//
// The pieces that Add() and Finish() return hold whole characters. Joined, they are
// tokenizer.Decode() of all tokens, with one exception: where byte tokens form no text, they may
// hold fewer U+FFFD, since a tokenizer.json's decoder would take back pieces that were returned.
// Each token is decoded a bounded number of times, so its cost does not grow with the response.
class StreamDecoder {
 public:
  // The tokenizer must outlive this object.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool at_start = false)
      : tokenizer_(tokenizer), at_start_(at_start) {}

  // Returns the text that `token` makes certain: often its own, or "" while its bytes may still
  // become part of a character.
  std::string Add(TokenId token);
  // Returns the remaining text as Decode() prints it. The next token then begins a new response
  // that is not at the start of a text.
  std::string Finish();

 private:
  std::string Print(std::string_view text, std::size_t end);
  std::string Settle(std::string_view text);
  void Forget();

  const Tokenizer& tokenizer_;
  bool at_start_;
  std::vector<TokenId> pending_;       // tokens whose last character may be unfinished
  std::vector<std::size_t> printing_;  // indices into pending_ of the tokens that print something
  std::size_t printed_ = 0;            // bytes of Decode(pending_) that were returned
};

}  // namespace pivotal::data
