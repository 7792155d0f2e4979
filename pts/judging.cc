// Apache-2.0.
#include "pts/judging.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

#include "data/base/text.h"
#include "data/tokenizer/response_text.h"
#include "pivotal/oracle.h"
#include "pivotal/policy.h"
#include "pivotal/search.h"

namespace pivotal::pts {
namespace {

// Returns the ids of <think> and </think> where they are control tokens, which Decode leaves out.
std::vector<TokenId> SilentThinkTokens(const Tokenizer& tokenizer) {
  std::vector<TokenId> marks;
  for (const std::string_view mark : {data::kThinkBegin, data::kThinkEnd}) {
    const auto ids = tokenizer.Encode(mark);
    if (ids.size() == 1 && tokenizer.Decode(ids).empty()) marks.push_back(ids[0]);
  }
  return marks;
}

// Decodes `ids`; writes the tokens `marks` by name.
std::string DecodeWith(const Tokenizer& tokenizer, const std::vector<TokenId>& marks,
                       std::span<const TokenId> ids) {
  std::string text;
  std::size_t first = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (std::find(marks.begin(), marks.end(), ids[i]) == marks.end()) continue;
    text += tokenizer.Decode(ids.subspan(first, i - first)) + tokenizer.Piece(ids[i]);
    first = i + 1;
  }
  return text + tokenizer.Decode(ids.subspan(first));
}

}  // namespace

std::function<std::string(std::span<const TokenId>)> MakeResponseText(
    const Tokenizer& tokenizer, const std::vector<std::string>& stop) {
  return [&, marks = SilentThinkTokens(tokenizer),
          stops = data::StopStrings(tokenizer, stop)](std::span<const TokenId> response) {
    return std::string(stops.Before(DecodeWith(tokenizer, marks, response)));
  };
}

}  // namespace pivotal::pts

namespace pivotal {

bool JudgeAny(const Oracle& oracle, Attempt attempt, std::span<const std::string> others) {
  std::exception_ptr unknown;
  const auto is_right = [&] {
    try {
      return oracle.Judge(attempt);
    } catch (const NoVerdict&) {
      if (!unknown) unknown = std::current_exception();
      return false;
    }
  };
  if (is_right()) return true;
  for (const std::string& other : others) {
    attempt.answer = other;
    if (is_right()) return true;
  }
  if (unknown) std::rethrow_exception(unknown);
  return false;
}

bool CanReadAny(const Oracle& oracle, std::string_view answer,
                std::span<const std::string> others) {
  return oracle.CanRead(answer) || std::ranges::any_of(others, [&](const std::string& other) {
           return oracle.CanRead(other);
         });
}

Judge MakeJudge(const Tokenizer& tokenizer, const Oracle& oracle,
                const std::vector<std::string>& stop) {
  return [&, text = pts::MakeResponseText(tokenizer, stop)](const Query& query,
                                                            std::span<const TokenId> response) {
    const std::string said = text(response);
    return JudgeAny(oracle, {query.question, query.answer, said}, query.other_answers);
  };
}

StopRule MakeStopRule(const Tokenizer& tokenizer, const std::vector<std::string>& stop) {
  if (stop.empty()) return {};
  return [stops = data::StopStrings(tokenizer, stop)](std::span<const TokenId> response) {
    return stops.Ends(response);
  };
}

}  // namespace pivotal
