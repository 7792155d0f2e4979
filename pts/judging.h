// Apache-2.0. The text of a response, as oracles read it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::pts {

// Returns a function that decodes a response up to the first of the texts `stop`. <think> and
// </think> stay readable if they are control tokens. The tokenizer must outlive the function;
// several threads may call it.
std::function<std::string(std::span<const TokenId>)> MakeResponseText(
    const Tokenizer& tokenizer, const std::vector<std::string>& stop = {});

}  // namespace pivotal::pts
