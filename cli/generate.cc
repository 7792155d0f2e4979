// Apache-2.0. pivotal generate
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "data/base/text.h"
#include "experiments/evaluate/conversation.h"

namespace pivotal::cli {
namespace {

struct GenerateFlags {
  ModelSettings model;
  ServedSettings served;
  SamplingSettings sampling;
  std::string prompt;
  bool chat = false;
};

// Reads lines from stdin. On a terminal it first explains the commands, then shows a prompt each
// time. Ctrl-C ends the program while it waits.
class LineReader {
 public:
  bool Read(std::string& line) {
    ReleaseStopHandler();
    if (terminal_ && first_)
      fmt::print(stderr,
                 "/reset forgets the conversation, /exit or Ctrl-D ends it, Ctrl-C stops an "
                 "answer\n");
    first_ = false;
    if (terminal_) fmt::print(stderr, "> ");
    const bool read = static_cast<bool>(std::getline(std::cin, line));
    InstallStopHandler();
    if (!read && terminal_) fmt::print(stderr, "\n");
    return read;
  }

 private:
  bool terminal_ = isatty(STDIN_FILENO) != 0;
  bool first_ = true;
};

// Returns all of stdin, without the last line end.
std::string ReadStdin() {
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

void RunGenerate(const GenerateFlags& flags) {
  LineReader reader;
  experiments::ConversationIo io;
  const bool terminal = isatty(STDOUT_FILENO) != 0;  // a file gets what the model wrote, as it is
  io.print = [=](std::string_view text) {
    PrintNow(terminal ? data::Visible(text, "\n\t") : text);
  };
  io.note = [](const std::string& text) { PrintStderr(fmt::format("pivotal: {}\n", text)); };
  io.read = [&](std::string& line) { return reader.Read(line); };
  const ConsoleProgress progress(/*visible=*/false);
  if (flags.chat) {
    experiments::HoldConversation(flags.model, flags.served, flags.sampling, io, progress);
  } else {
    const std::string question = flags.prompt == "-" ? ReadStdin() : flags.prompt;
    experiments::AnswerQuestion(flags.model, flags.served, flags.sampling, question, io, progress);
  }
}

}  // namespace

void AddGenerate(CLI::App& app) {
  auto* sub = app.add_subcommand("generate",
                                 "Answer one question as it is generated, or hold a conversation");
  auto flags = std::make_shared<GenerateFlags>();
  AddModelFlags(*sub, flags->model);
  AddServedFlags(*sub, flags->served, flags->model);
  AddSystemFlag(*sub, flags->model);
  auto* prompt =
      sub->add_option("prompt", flags->prompt, "question to answer; - reads it from stdin");
  auto* chat = sub->add_flag("--chat", flags->chat,
                             "hold a conversation: every line of stdin is a question; the line "
                             "/reset forgets the conversation, /exit ends it");
  prompt->excludes(chat);
  AddSamplingFlags(*sub, flags->sampling);
  SetHelp(*sub, {"PROMPT --model FOLDER [OPTIONS]",
                 {"--model", "--adapter", "--policy", "--system", "--chat", "--temperature",
                  "--top-p", "--max-new-tokens", "--seed"},
                 {{"answer one question", "generate \"What is 17 * 23?\" --model phi-4-mini"},
                  {"hold a conversation", "generate --chat --model phi-4-mini --temperature 0.7"}},
                 "docs/models.md"});
  sub->callback([flags, prompt, sub] {
    CheckServedFlags(*sub, flags->served, flags->model);
    if (!flags->chat && prompt->empty()) throw CLI::RequiredError("prompt (or --chat)");
    RunGenerate(*flags);
  });
}

}  // namespace pivotal::cli
