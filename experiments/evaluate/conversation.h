// Apache-2.0. Answers of a model as they are generated: to one question, or in a conversation.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "pivotal/model.h"
#include "pivotal/progress.h"
#include "pivotal/served.h"

namespace pivotal::experiments {

// How a conversation reaches its user.
struct ConversationIo {
  std::function<void(std::string_view text)> print;   // receives the next piece of an answer
  std::function<void(const std::string& text)> note;  // receives a message that is no answer
  // Reads the user's next line; returns false if there is none. Only conversations call it.
  std::function<bool(std::string& line)> read = {};
};

// The model is served if `served` has addresses. Prints the model's answer to `question`, then a
// line end. Throws Interrupted on a stop request, after the part of the answer that there is.
void AnswerQuestion(const ModelSettings& model, const ServedSettings& served,
                    const SamplingSettings& sampling, const std::string& question,
                    const ConversationIo& io, const Progress& progress);

// Answers the user's lines, each with all earlier questions and answers before it. The line
// "/reset" forgets them and "/exit" ends the conversation. A stop request ends the current answer
// only. A question that cannot be answered is noted and forgotten.
void HoldConversation(const ModelSettings& model, const ServedSettings& served,
                      const SamplingSettings& sampling, const ConversationIo& io,
                      const Progress& progress);

}  // namespace pivotal::experiments
