// Apache-2.0.
#include "experiments/evaluate/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "data/template/prompt_format.h"
#include "data/tokenizer/response_text.h"
#include "experiments/settings/loading.h"
#include "kernels/philox.h"
#include "pivotal/policy.h"
#include "pivotal/tokenizer.h"

namespace pivotal::experiments {
namespace {

struct Answer {
  std::string text;
  bool stopped = false;   // a stop request ended it
  bool finished = false;  // the model ended it, not the limit of tokens
};

// Generates answers and prints them as they grow.
class Answerer {
 public:
  Answerer(const ModelSettings& model, const ServedSettings& served,
           const SamplingSettings& sampling, const ConversationIo& io, const Progress& progress)
      : io_(io),
        progress_(progress),
        model_(model, served, sampling, progress, [this](TokenId token) { Take(token); }),
        decoder_(model_.tokenizer()),
        stops_(model_.tokenizer(), sampling.stop),
        stop_(MakeStopRule(model_.tokenizer(), sampling.stop)) {}

  const RolloutModel& model() const { return model_; }
  // Returns the length of the longest sequence; of a server that does not say it, any length.
  int64_t positions() const {
    const int64_t most = model_.max_positions();
    return most > 0 ? most : std::numeric_limits<int32_t>::max();
  }

  // Prints the answer to the prompt of turn `turn`, then a line end.
  Answer Run(const std::vector<TokenId>& prompt, int32_t max_new_tokens, uint64_t turn) {
    text_.clear();
    printed_ = 0;
    uint64_t stream = kernels::MixStream(0, "generate");
    if (turn > 0) stream = kernels::MixStream(stream, turn);
    RolloutRequest request{prompt, 1, max_new_tokens, stream, 0};
    request.stop = stop_;
    Answer answer;
    try {
      const auto rollouts = model_.policy().Sample({&request, 1}, progress_);
      answer.finished = rollouts[0][0].finish != FinishReason::kLength;
    } catch (const Interrupted&) {
      answer.stopped = true;
    }
    text_ += decoder_.Finish();
    Print(stops_.Before(text_));
    io_.print("\n");
    text_.resize(printed_);
    answer.text = std::move(text_);
    return answer;
  }

 private:
  void Take(TokenId token) {
    if (model_.Ends(token)) return;
    text_ += decoder_.Add(token);
    Print(stops_.Certain(text_));
  }
  // Prints the part of the answer's `text` that has not been printed.
  void Print(std::string_view text) {
    if (text.size() <= printed_) return;
    io_.print(text.substr(printed_));
    printed_ = text.size();
  }

  const ConversationIo& io_;
  const Progress& progress_;
  RolloutModel model_;
  data::StreamDecoder decoder_;
  data::StopStrings stops_;
  StopRule stop_;
  std::string text_;         // the current answer
  std::size_t printed_ = 0;  // bytes of `text_` that have been printed
};

// The questions and answers so far, after the system message.
class Conversation {
 public:
  Conversation(Answerer& answerer, int32_t max_new_tokens, const ConversationIo& io)
      : answerer_(answerer), max_new_tokens_(max_new_tokens), io_(io) {
    Reset();
    // Throws Error now, not at the first question, if the format has no place for the system
    // message.
    answerer_.model().Prompt(data::QuestionMessages(answerer_.model().system(), "?"));
  }

  void Reset() {
    history_.clear();
    const std::string& system = answerer_.model().system();
    if (!system.empty()) history_.push_back({"system", system});
  }

  // Answers a question. One that fails leaves the history as it was.
  void Answer(const std::string& question) {
    auto messages = history_;
    messages.push_back({"user", question});
    std::vector<TokenId> prompt;
    try {
      prompt = answerer_.model().Prompt(messages);
    } catch (const Error& error) {
      return io_.note(error.what());
    }
    const int64_t room = answerer_.positions() - std::ssize(prompt);
    if (room < 1)
      return io_.note(fmt::format(
          "the conversation is {} tokens long and the model has {} positions; /reset begins "
          "a new one",
          prompt.size(), answerer_.positions()));
    const auto longest = static_cast<int32_t>(std::min<int64_t>(max_new_tokens_, room));
    const auto answer = answerer_.Run(prompt, longest, turn_++);
    if (!answer.finished && !answer.stopped && longest == room)
      io_.note(fmt::format(
          "the answer ends here: the model has {} positions; /reset begins a new conversation",
          answerer_.positions()));
    history_ = std::move(messages);
    history_.push_back({"assistant", answer.text});
  }

 private:
  Answerer& answerer_;
  int32_t max_new_tokens_;
  const ConversationIo& io_;
  std::vector<ChatMessage> history_;
  uint64_t turn_ = 0;
};

}  // namespace

void AnswerQuestion(const ModelSettings& model, const ServedSettings& served,
                    const SamplingSettings& sampling, const std::string& question,
                    const ConversationIo& io, const Progress& progress) {
  Answerer answerer(model, served, sampling, io, progress);
  const auto prompt =
      answerer.model().Prompt(data::QuestionMessages(answerer.model().system(), question));
  const int64_t room = answerer.positions() - std::ssize(prompt);
  if (room < 1)
    Fail(
        "a prompt of {} tokens fills the model's {} positions, without room for an answer; "
        "shorten it",
        prompt.size(), answerer.positions());
  const auto longest = static_cast<int32_t>(std::min<int64_t>(sampling.max_new_tokens, room));
  const auto answer = answerer.Run(prompt, longest, 0);
  if (answer.stopped) throw Interrupted("stopped");
  if (!answer.finished && longest < sampling.max_new_tokens)
    io.note(fmt::format("the answer ends here: the model has {} positions", answerer.positions()));
}

void HoldConversation(const ModelSettings& model, const ServedSettings& served,
                      const SamplingSettings& sampling, const ConversationIo& io,
                      const Progress& progress) {
  Answerer answerer(model, served, sampling, io, progress);
  Conversation conversation(answerer, sampling.max_new_tokens, io);
  for (std::string line; io.read(line);) {
    if (line == "/exit") return;
    if (line == "/reset") {
      conversation.Reset();
    } else if (line.find_first_not_of(" \t\r") != std::string::npos) {
      conversation.Answer(line);
    }
  }
}

}  // namespace pivotal::experiments
