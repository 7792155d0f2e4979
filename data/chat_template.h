// Apache-2.0. Chat templates of Hugging Face folders: a conversation as the text a model was
// trained on.
//
// Templates are Jinja2 programs. The subset that is read, rendered byte for byte as transformers
// renders it (jinja2's ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks):
//   tags        {{ }}, {% %}, {# #} with - and +; if/elif/else; for (with if, else, loop.*, break,
//               continue); set, also as a block and of a namespace; generation
//   expressions literals, lists, tuples, dicts; + - * / // % ~, comparisons, in, and, or, not, is;
//               a if b else c; subscripts, slices, attributes; filters
//   functions   range, namespace, dict, raise_exception, strftime_now
//   str         strip lstrip rstrip split startswith endswith replace join upper lower title
//               capitalize; of dicts: get items keys values
//   filters     trim upper lower title capitalize string replace length count join tojson default d
//               first last list int float items safe map select reject selectattr rejectattr
//   tests       defined undefined none string mapping sequence iterable number integer float boolean
//               true false odd even divisibleby eq ne lt le gt ge in, and their aliases
// All else (macros, imports, integers beyond 64 bits, the case of letters beyond ASCII ...) is an
// Error. So is a template that runs on, nests too deep or is larger than 1 MiB: none hangs or fills
// the memory.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/tokenizer.h"

namespace pivotal::data {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// Immutable; may be used from several threads.
class ChatTemplate {
 public:
  // What a template may name: {"bos_token", "<s>"}, ...
  using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

  // `where` begins the text of an Error. Throws Error that names the line and what is wrong there.
  ChatTemplate(std::string_view source, std::string where, SpecialTokens special);

  // The text, with what makes the model answer at its end (add_generation_prompt). Throws Error if
  // the template refuses the conversation, as some do whose roles do not alternate.
  std::string Render(std::span<const ChatMessage> messages, bool add_generation_prompt = true) const;

 private:
  struct Program;
  std::shared_ptr<const Program> program_;
  std::string where_;
  SpecialTokens special_;
};

// The template of a folder: chat_template.jinja, else "chat_template" of tokenizer_config.json (of
// several named ones "default"); nothing if it has neither. Special tokens come from
// tokenizer_config.json and special_tokens_map.json, BOS and EOS else from `tokenizer`.
std::optional<ChatTemplate> LoadChatTemplate(const std::filesystem::path& folder,
                                             const Tokenizer& tokenizer);

}  // namespace pivotal::data
