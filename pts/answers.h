// Apache-2.0. The answers that the responses and rollouts of a query state.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pivotal/trace.h"

namespace pivotal::pts {

// What an answer of AnswerTable stands for.
enum class AnswerKind {
  kStated,  // one answer, as the oracle reads it
  kNone,    // responses that state no answer
  kOther,   // all answers that are rarer than those of the table
};

struct Answer {
  AnswerKind kind = AnswerKind::kStated;
  std::string text;      // of kStated, the spelling that most rollouts have
  bool right = false;    // the verdict on the responses that state it
  int32_t rollouts = 0;  // rollouts of any kind that state it
};

// How answers are read and compared.
struct AnswerReader {
  // Returns the answer that a response (token ids, EOS included) states; "" for none.
  std::function<std::string(std::span<const TokenId> response)> read;
  // Returns true if two answers, not empty, say the same.
  std::function<bool(const std::string& a, const std::string& b)> same;
};

// The answers of one query. Answer 0 is the right one, even if nothing states it: the oracle takes
// every right response for the reference. The wrong ones follow, most frequent first, at most
// `most` of them, with those of the searched responses among them; then kOther and kNone where they
// occur. Responses whose verdicts differ never share an answer. Of wrong answers each joins the
// first, that is the most frequent, answer that it is the same as.
struct AnswerTable {
  std::vector<Answer> answers;
  std::vector<int32_t> of_response, of_rollout;  // an answer of each, by their order in the trace

  int32_t size() const { return static_cast<int32_t>(answers.size()); }
};

inline constexpr int32_t kMostWrongAnswers = 8;

// Returns the whole response that a rollout is: the tokens of its response before it, its forced
// token, and its own.
std::vector<TokenId> ResponseOf(const QueryTrace& trace, const RolloutTrace& rollout);

// Reads the answers of a stored query. The tokens before a rollout's own are those of its response
// and its forced token.
AnswerTable ReadAnswers(const QueryTrace& trace, const AnswerReader& reader,
                        int32_t most = kMostWrongAnswers);

// Returns the answers of a query whose oracle reads none: "right" and "wrong".
AnswerTable VerdictsAsAnswers(const QueryTrace& trace);

}  // namespace pivotal::pts
