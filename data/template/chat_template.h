// Apache-2.0. Chat templates of Hugging Face folders: they turn a conversation into the text format
// that the model was trained on.
//
// Templates are Jinja2 programs. This subset is supported, and its output is byte for byte that of
// transformers (jinja2's ImmutableSandboxedEnvironment with trim_blocks and lstrip_blocks):
//   tags        {{ }}, {% %}, {# #} with - and +; if/elif/else; for (with if, else, loop.*, break,
//               continue); set, also as a block and of a namespace; generation
//   expressions literals, lists, tuples, dicts; + - * / // % ~, comparisons, in, and, or, not, is;
//               a if b else c; subscripts, slices, attributes; filters
//   functions   range, namespace, dict, raise_exception, strftime_now
//   str         strip lstrip rstrip split startswith endswith replace join upper lower title
//               capitalize; of dicts: get items keys values
//   filters     trim upper lower title capitalize string replace length count join tojson default d
//               first last list int float items safe map select reject selectattr rejectattr
//   tests       defined undefined none string mapping sequence iterable number integer float
//               boolean true false odd even divisibleby eq ne lt le gt ge in, and their aliases
// A template that uses anything else (macros, imports, integers beyond 64 bits, the case of letters
// beyond ASCII ...) is refused with an Error. So is one that does too much work, is nested too deep
// or is larger than 1 MiB: no template can hang the program or fill the memory.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pivotal/tokenizer.h"

namespace pivotal::data {

// Renders conversations. Immutable; several threads may use it.
class ChatTemplate {
 public:
  // Variables with the texts of special tokens: {"bos_token", "<s>"}, ...
  using SpecialTokens = std::vector<std::pair<std::string, std::string>>;

  // Parses `source`. Throws Error that begins with `where` and names the faulty line.
  ChatTemplate(std::string_view source, std::string where, SpecialTokens special);

  // Returns the text of the conversation, followed by the start of the model's answer if
  // `add_generation_prompt`. Throws Error where the template raises an exception: some refuse
  // conversations whose roles do not alternate.
  std::string Render(std::span<const ChatMessage> messages,
                     bool add_generation_prompt = true) const;

 private:
  struct Program;
  std::shared_ptr<const Program> program_;
  std::string where_;
  SpecialTokens special_;
};

// Loads the template of a model folder from chat_template.jinja, else from "chat_template" of
// tokenizer_config.json (the one named "default" among several); nothing if the folder has neither.
// Special tokens come from tokenizer_config.json and special_tokens_map.json. `tokenizer` provides
// BOS and EOS that are in neither file.
std::optional<ChatTemplate> LoadChatTemplate(const std::filesystem::path& folder,
                                             const Tokenizer& tokenizer);

}  // namespace pivotal::data
