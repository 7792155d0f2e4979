// Apache-2.0.
#include "data/template/prompt_format.h"

#include <array>
#include <utility>

#include "data/base/error.h"
#include "data/base/text.h"

namespace pivotal::data {
namespace {

// The texts that a built-in format puts before and after each role's message.
struct Frame {
  PromptFormat::Kind kind;
  std::string_view name;
  bool has_system;
  std::string_view before_system, after_system, before_user, after_user, before_answer,
      after_answer;
  bool blank;  // true: an answer begins with a blank
};

constexpr std::array<Frame, 4> kFrames = {{
    {PromptFormat::kPlain, "plain", false, "", "", "Question: ", "\n", "Answer:", "\n\n", true},
    {PromptFormat::kPhi2, "phi-2", false, "", "", "Instruct: ", "\n", "Output:", "\n", true},
    {PromptFormat::kPhi3, "phi-3", true, "<|system|>\n", "<|end|>\n", "<|user|>\n", "<|end|>\n",
     "<|assistant|>\n", "<|end|>\n", false},
    {PromptFormat::kPhi4, "phi-4", true, "<|im_start|>system<|im_sep|>", "<|im_end|>",
     "<|im_start|>user<|im_sep|>", "<|im_end|>", "<|im_start|>assistant<|im_sep|>", "<|im_end|>",
     false},
}};

const Frame& FrameOf(PromptFormat::Kind kind) {
  for (const Frame& frame : kFrames) {
    if (frame.kind == kind) return frame;
  }
  Fail("prompt format {} is not built in", static_cast<int>(kind));
}

[[noreturn]] void FailSystem(std::string_view name) {
  Fail(
      "the prompt format {} has no place for a system message; leave it out or choose another "
      "--prompt-format",
      name);
}

std::string RenderFrame(const Frame& frame, std::span<const ChatMessage> messages,
                        bool add_generation_prompt) {
  std::string text;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (message.role == "user") {
      text += fmt::format("{}{}{}", frame.before_user, message.content, frame.after_user);
    } else if (message.role == "assistant") {
      const bool blank = frame.blank && !message.content.starts_with(' ');
      text += fmt::format("{}{}{}{}", frame.before_answer, blank ? " " : "", message.content,
                          frame.after_answer);
    } else if (message.role == "system" && i == 0) {
      if (!frame.has_system) FailSystem(frame.name);
      text += fmt::format("{}{}{}", frame.before_system, message.content, frame.after_system);
    } else {
      Fail(
          "message {} has the role {}; a system message comes first, all others are user or "
          "assistant",
          i + 1, message.role);
    }
  }
  if (add_generation_prompt) text += frame.before_answer;
  return text;
}

}  // namespace

PromptFormat::PromptFormat(Kind built_in) : kind_(built_in) { FrameOf(built_in); }

PromptFormat::PromptFormat(ChatTemplate chat_template)
    : kind_(kTemplate), template_(std::move(chat_template)) {}

std::string_view PromptFormat::name() const {
  return kind_ == kTemplate ? "template" : FrameOf(kind_).name;
}

std::string PromptFormat::Render(std::span<const ChatMessage> messages,
                                 bool add_generation_prompt) const {
  if (kind_ != kTemplate) return RenderFrame(FrameOf(kind_), messages, add_generation_prompt);
  std::string text = template_->Render(messages, add_generation_prompt);
  // Some templates drop a system message without an error.
  if (!messages.empty() && messages[0].role == "system" &&
      text.find(Trim(messages[0].content)) == std::string::npos) {
    FailSystem(name());
  }
  return text;
}

std::vector<TokenId> PromptFormat::Encode(const Tokenizer& tokenizer,
                                          std::span<const ChatMessage> messages,
                                          bool add_generation_prompt) const {
  std::vector<TokenId> ids = tokenizer.Encode(Render(messages, add_generation_prompt));
  if (kind_ != kTemplate && tokenizer.adds_bos()) ids.insert(ids.begin(), tokenizer.bos());
  return ids;
}

PromptFormat MakePromptFormat(std::string_view name, const std::filesystem::path& folder,
                              const Tokenizer& tokenizer) {
  for (const Frame& frame : kFrames) {
    if (frame.name == name) return frame.kind;
  }
  if (name != "auto" && name != "template") {
    Fail("unknown prompt format \"{}\"; choose auto, template, plain, phi-2, phi-3 or phi-4", name);
  }
  if (auto chat_template = LoadChatTemplate(folder, tokenizer)) {
    return PromptFormat(*std::move(chat_template));
  }
  if (name == "template") {
    Fail(
        "{}: there is neither chat_template.jinja nor a chat_template in tokenizer_config.json; "
        "choose another --prompt-format",
        folder.string());
  }
  return DetectPromptFormat(tokenizer);
}

std::vector<std::string> PromptFormatNames() {
  std::vector<std::string> names = {"auto", "template"};
  for (const Frame& frame : kFrames) names.emplace_back(frame.name);
  return names;
}

PromptFormat DetectPromptFormat(const Tokenizer& tokenizer) {
  if (tokenizer.Encode("<|assistant|>").size() == 1) return PromptFormat::kPhi3;
  if (tokenizer.Encode("<|im_sep|>").size() == 1) return PromptFormat::kPhi4;
  return PromptFormat::kPlain;
}

std::vector<ChatMessage> QuestionMessages(std::string_view system, std::string_view question) {
  std::vector<ChatMessage> messages;
  if (!system.empty()) messages.push_back({"system", std::string(system)});
  messages.push_back({"user", std::string(question)});
  return messages;
}

std::string FormatPrompt(const PromptFormat& format, std::string_view question) {
  return format.Render(QuestionMessages("", question));
}

std::vector<TokenId> EncodePrompt(const Tokenizer& tokenizer, const PromptFormat& format,
                                  std::string_view question) {
  return format.Encode(tokenizer, QuestionMessages("", question));
}

}  // namespace pivotal::data
