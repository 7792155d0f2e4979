// Apache-2.0. Texts that end a response, for models that go on after it.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::data {

class StopStrings {
 public:
  // Throws Error for an empty text. The tokenizer must outlive it.
  StopStrings(const Tokenizer& tokenizer, std::vector<std::string> texts);

  // Whether one of the texts is complete with the last token of `response`, given that none was before. Looks
  // at the end of the response alone.
  bool Ends(std::span<const TokenId> response) const;

  // What stands before the first of the texts; all of `text` where there is none.
  std::string_view Before(std::string_view text) const;

  // Before(), without an end that may turn out to begin one of the texts: what can be shown already.
  std::string_view Certain(std::string_view text) const;

 private:
  const Tokenizer* tokenizer_;
  std::vector<std::string> texts_;
  std::size_t longest_ = 0;  // bytes
};

}  // namespace pivotal::data
