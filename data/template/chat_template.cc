// Apache-2.0.
#include "data/template/chat_template.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "data/base/utf8.h"
#include "data/template/program.h"

namespace pivotal::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kMaxSource = std::size_t{1} << 20;
constexpr std::string_view kRemedy = "choose another --prompt-format";
constexpr std::array<const char*, 7> kSpecialNames = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

// Makes a message fit for one line: no control characters, about 200 bytes at most.
std::string OneLine(std::string_view text) {
  std::string line;
  for (std::size_t i = 0; i < text.size() && line.size() < 200;) {
    const std::size_t length = std::max<std::size_t>(Utf8LengthAt(text, i), 1);
    const bool control = static_cast<unsigned char>(text[i]) < 0x20 || text[i] == 0x7F;
    line += control ? std::string_view(" ") : text.substr(i, length);
    i += length;
  }
  return line;
}

[[noreturn]] void FailAt(const std::string& where, const jinja::Fault& fault) {
  Fail("{}, line {} of the template: {}; {}", where, std::max(fault.line(), 1),
       OneLine(fault.what()), kRemedy);
}

void RequireUtf8(std::string_view text, const std::string& what) {
  if (const auto bad = FindInvalidUtf8(text); bad != std::string_view::npos)
    Fail("{} is not UTF-8 at byte {}; convert it first", what, bad);
}

json ReadOptional(const fs::path& path, const KeepKey& keep) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return json::object();
  return ParseJsonObject(ReadFile(path), path.string(), keep);
}

bool IsSpecialName(std::string_view key) {
  return std::find(kSpecialNames.begin(), kSpecialNames.end(), key) != kSpecialNames.end();
}

// Adds the special tokens of a file that are not known yet. A token is "<s>" or {"content": "<s>"};
// null means that the model has none.
void AddSpecial(const json& object, ChatTemplate::SpecialTokens& special) {
  for (const char* name : kSpecialNames) {
    const auto found = object.find(name);
    const bool known = std::any_of(special.begin(), special.end(),
                                   [&](const auto& item) { return item.first == name; });
    if (found == object.end() || known) continue;
    const json& value =
        found->is_object() && found->contains("content") ? (*found)["content"] : *found;
    if (value.is_string()) special.emplace_back(name, value.get<std::string>());
  }
}

ChatTemplate::SpecialTokens ReadSpecial(const fs::path& folder, const json& config,
                                        const Tokenizer& tokenizer) {
  ChatTemplate::SpecialTokens special;
  AddSpecial(config, special);
  const json map = ReadOptional(folder / "special_tokens_map.json", IsSpecialName);
  AddSpecial(map, special);
  const auto add_own = [&](const char* name, TokenId id) {
    if (id >= 0 && !config.contains(name)) AddSpecial(json{{name, tokenizer.Piece(id)}}, special);
  };
  add_own("bos_token", tokenizer.bos());
  add_own("eos_token", tokenizer.eos());
  return special;
}

// Returns "chat_template" of tokenizer_config.json, which is a text or a list
// [{"name": "default", "template": ...}, ...].
std::optional<std::string> TemplateOf(const json& config, const std::string& where) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) Fail("{} must be a string or a list; {}", where, kRemedy);
  for (const json& item : *found) {
    if (!item.is_object()) Fail("{} must be a list of objects; {}", where, kRemedy);
    if (RequireString(item, "name", where) == "default")
      return RequireString(item, "template", where);
  }
  Fail("{} has no template named default; {}", where, kRemedy);
}

}  // namespace

struct ChatTemplate::Program {
  jinja::Block block;
};

ChatTemplate::ChatTemplate(std::string_view source, std::string where, SpecialTokens special)
    : where_(std::move(where)), special_(std::move(special)) {
  if (source.size() > kMaxSource)
    Fail("{} is larger than {} MiB; {}", where_, kMaxSource >> 20, kRemedy);
  RequireUtf8(source, where_);
  for (const auto& [name, text] : special_) RequireUtf8(text, where_ + ": " + name);
  try {
    program_ = std::make_shared<const Program>(Program{jinja::Parse(source)});
  } catch (const jinja::Fault& fault) {
    FailAt(where_, fault);
  }
}

std::string ChatTemplate::Render(std::span<const ChatMessage> messages,
                                 bool add_generation_prompt) const {
  using jinja::Value;
  jinja::Values list;
  for (const ChatMessage& message : messages) {
    RequireUtf8(message.content, "the text of the " + message.role);
    list.push_back(Value::Dict(
        {{Value("role"), Value(message.role)}, {Value("content"), Value(message.content)}}));
  }
  jinja::Variables variables = {{"messages", Value::List(std::move(list))},
                                {"tools", Value(jinja::None{})},
                                {"documents", Value(jinja::None{})},
                                {"add_generation_prompt", Value(add_generation_prompt)}};
  for (const auto& [name, text] : special_) variables.emplace_back(name, Value(text));
  try {
    return jinja::Render(program_->block, variables);
  } catch (const jinja::Fault& fault) {
    FailAt(where_, fault);
  }
}

std::optional<ChatTemplate> LoadChatTemplate(const fs::path& folder, const Tokenizer& tokenizer) {
  const fs::path config_path = folder / "tokenizer_config.json",
                 file = folder / "chat_template.jinja";
  const json config = ReadOptional(config_path, [](std::string_view key) {
    return key == "chat_template" || IsSpecialName(key);
  });
  std::string where = file.string();
  std::optional<std::string> source;
  std::error_code ignored;
  if (fs::exists(file, ignored)) {
    source = ReadFile(file);
  } else {
    where = config_path.string() + ": chat_template";
    source = TemplateOf(config, where);
  }
  if (!source) return std::nullopt;
  return ChatTemplate(*source, where, ReadSpecial(folder, config, tokenizer));
}

}  // namespace pivotal::data
