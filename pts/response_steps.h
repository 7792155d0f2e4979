// Apache-2.0. The steps of a response: its sentences.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::pts {

// Returns the positions k at which the sentences of a response end, ascending; the last one is n.
// A sentence ends with ".", "!" or "?" before white space (closing quotes and brackets may stand
// between), or with a line end. A token that holds the end of a sentence and the start of the next
// belongs to the first.
std::vector<int32_t> SentenceEnds(const Tokenizer& tokenizer, const std::vector<TokenId>& response);

// A step of a response: the tokens after those of the step before, up to t_end.
struct ResponseStep {
  int32_t end = 0;
  std::string text;
};

// Returns the steps of a response: its sentences, where one of white space alone belongs to the
// step before it, or after it if there is none. The texts, joined, are the text of the response as
// data::StreamDecoder prints it; none is empty. A response without text has no steps. The last step
// ends with the response.
std::vector<ResponseStep> StepsOf(const Tokenizer& tokenizer, const std::vector<TokenId>& response);

}  // namespace pivotal::pts
