// Apache-2.0. pivotal generate
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/error.h"
#include "data/progress.h"
#include "data/stop_strings.h"
#include "data/stream_decoder.h"
#include "experiments/run_config.h"
#include "kernels/philox.h"

namespace pivotal::cli {
namespace {

struct Flags {
  experiments::ModelSettings model;
  experiments::SamplingSettings sampling;
  std::string prompt;
  bool chat = false;
};

// Answers prompts, streamed to stdout.
class Answerer {
 public:
  explicit Answerer(const Flags& flags)
      : flags_(flags), model_(experiments::LoadModel(flags.model, model::WeightUse::kRollouts)), decoder_(model_.tokenizer()),
        stops_(model_.tokenizer(), flags.sampling.stop),
        stop_(experiments::MakeStopRule(model_.tokenizer(), flags.sampling.stop)), engine_(model_.phi(), Options()) {}

  std::vector<TokenId> Encode(const std::vector<data::ChatMessage>& messages) const {
    return model_.Prompt(messages);
  }
  int64_t positions() const { return model_.phi().config().max_position_embeddings; }
  const std::string& system() const { return model_.system; }

  struct Answer {
    std::string text;
    bool stopped = false;   // by Ctrl-C
    bool finished = false;  // the model ended it
  };
  // Prints the answer of turn `turn`, and a line end behind it.
  Answer Run(const std::vector<TokenId>& prompt, int32_t max_new_tokens, uint64_t turn) {
    answer_.clear();
    printed_ = 0;
    uint64_t stream = kernels::MixStream(0, "generate");
    if (turn > 0) stream = kernels::MixStream(stream, turn);
    model::RolloutRequest request{prompt, 1, max_new_tokens, stream, 0};
    request.stop = stop_;
    Answer answer;
    try {
      const auto rollouts = engine_.Sample({&request, 1}, ConsoleProgress());
      answer.finished = rollouts[0][0].finish != data::FinishReason::kLength;
    } catch (const Interrupted&) {
      answer.stopped = true;
    }
    answer_ += decoder_.Finish();
    Show(stops_.Before(answer_));
    fmt::print("\n");
    std::fflush(stdout);
    answer_.resize(printed_);
    answer.text = std::move(answer_);
    return answer;
  }

 private:
  model::EngineOptions Options() {
    auto options = experiments::EngineOptionsOf(flags_.sampling, model_);
    options.batch = 1;
    options.on_token = [this](int32_t, int32_t, TokenId token) {
      const auto& ends = model_.phi().config().eos_token_ids;
      if (std::find(ends.begin(), ends.end(), token) != ends.end()) return;
      answer_ += decoder_.Add(token);
      Show(stops_.Certain(answer_));
    };
    return options;
  }
  // Prints what is new of the answer.
  void Show(std::string_view text) {
    if (text.size() <= printed_) return;
    fmt::print("{}", text.substr(printed_));
    std::fflush(stdout);
    printed_ = text.size();
  }

  const Flags& flags_;
  experiments::LoadedModel model_;
  data::StreamDecoder decoder_;
  data::StopStrings stops_;
  model::StopRule stop_;
  std::string answer_;         // that is being given
  std::size_t printed_ = 0;    // bytes of it
  model::RolloutEngine engine_;
};

// The prompt; "-" is what stdin holds, less one line end.
std::string PromptOf(const Flags& flags) {
  if (flags.prompt != "-") return flags.prompt;
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

void Note(const std::string& text) { PrintStderr(fmt::format("pivotal: {}\n", text)); }

// A conversation: a line is a question, its answer joins the history.
class Chat {
 public:
  explicit Chat(const Flags& flags) : flags_(flags), answerer_(flags), terminal_(isatty(STDIN_FILENO) != 0) {
    Reset();
    answerer_.Encode(data::QuestionMessages(answerer_.system(), "?"));  // a bad --system fails here
  }

  void Run() {
    if (terminal_) fmt::print(stderr, "/reset forgets the conversation, /exit or Ctrl-D ends it, "
                                      "Ctrl-C stops an answer\n");
    std::string line;
    while (Read(line)) {
      if (line == "/exit") return;
      if (line == "/reset") {
        Reset();
      } else if (line.find_first_not_of(" \t\r") != std::string::npos) {
        Ask(line);
      }
    }
  }

 private:
  void Reset() {
    history_.clear();
    if (!answerer_.system().empty()) history_.push_back({"system", answerer_.system()});
  }

  bool Read(std::string& line) {
    ReleaseStopHandler();  // Ctrl-C ends the program while it waits
    if (terminal_) fmt::print(stderr, "> ");
    const bool read = static_cast<bool>(std::getline(std::cin, line));
    InstallStopHandler();
    if (!read && terminal_) fmt::print(stderr, "\n");
    return read;
  }

  // A question that fails leaves the history as it was.
  void Ask(const std::string& question) {
    auto messages = history_;
    messages.push_back({"user", question});
    std::vector<TokenId> prompt;
    try {
      prompt = answerer_.Encode(messages);
    } catch (const Error& error) {
      return Note(error.what());
    }
    const int64_t room = answerer_.positions() - static_cast<int64_t>(prompt.size());
    if (room < 1)
      return Note(fmt::format("the conversation is {} tokens long and the model has {} positions; /reset begins "
                              "a new one", prompt.size(), answerer_.positions()));
    const auto most = static_cast<int32_t>(std::min<int64_t>(flags_.sampling.max_new_tokens, room));
    const auto answer = answerer_.Run(prompt, most, turn_++);
    if (!answer.finished && !answer.stopped && most == room)
      Note(fmt::format("the answer ends here: the model has {} positions; /reset begins a new conversation",
                       answerer_.positions()));
    history_ = std::move(messages);
    history_.push_back({"assistant", answer.text});
  }

  const Flags& flags_;
  Answerer answerer_;
  bool terminal_;
  std::vector<data::ChatMessage> history_;
  uint64_t turn_ = 0;
};

void Run(const Flags& flags) {
  if (flags.chat) return Chat(flags).Run();
  Answerer answerer(flags);
  const auto prompt = answerer.Encode(data::QuestionMessages(answerer.system(), PromptOf(flags)));
  if (answerer.Run(prompt, flags.sampling.max_new_tokens, 0).stopped) throw Interrupted("stopped");
}

}  // namespace

void AddGenerate(CLI::App& app) {
  auto* sub = app.add_subcommand("generate", "Answer one prompt, streamed, or hold a conversation");
  auto flags = std::make_shared<Flags>();
  AddModelFlags(*sub, flags->model);
  AddSystemFlag(*sub, flags->model);
  auto* prompt = sub->add_option("prompt", flags->prompt, "the question; - reads it from stdin");
  auto* chat = sub->add_flag("--chat", flags->chat,
                             "a conversation: a question per line of stdin; /reset, /exit");
  prompt->excludes(chat);
  AddSamplingFlags(*sub, flags->sampling);
  sub->callback([flags, prompt] {
    if (!flags->chat && prompt->empty()) throw CLI::RequiredError("prompt (or --chat)");
    Run(*flags);
  });
}

}  // namespace pivotal::cli
