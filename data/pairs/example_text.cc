// Apache-2.0.
#include "data/pairs/example_text.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "data/base/error.h"
#include "data/base/json_input.h"

namespace pivotal::data {
namespace {

using nlohmann::json;
using Ids = std::vector<TokenId>;
using Messages = std::vector<ChatMessage>;

// Calls `call`, and adds `where` to the front of the Error that it throws.
template <typename Call>
auto WithWhere(const std::string& where, Call&& call) {
  try {
    return call();
  } catch (const Error& e) {
    Fail("{}: {}", where, e.what());
  }
}

// Throws Error if `key` has a value: it would change the rendered text, but is not supported.
void RefuseValue(const json& object, const std::string& key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null() || found->empty()) return;
  Fail("{}: \"{}\" is not supported; render the example to text, or remove the key", where, key);
}

// Reads the messages under `key` of a line.
Messages ReadMessages(const json& object, const std::string& key, const std::string& where) {
  for (const char* unread : {"tools", "chat_template_kwargs"}) RefuseValue(object, unread, where);
  const json& value = RequireKey(object, key, where);
  if (!value.is_array()) {
    Fail(
        "{}: key \"{}\" must be a list of messages, not {}; give all keys as text or all as "
        "messages",
        where, key, value.type_name());
  }
  if (value.empty()) Fail("{}: key \"{}\" has no messages", where, key);
  Messages messages;
  for (const json& message : value) {
    const std::string at = fmt::format("{}: {}[{}]", where, key, messages.size());
    if (!message.is_object()) {
      Fail("{} must be a message with role and content, not {}", at, message.type_name());
    }
    RefuseValue(message, "tool_calls", at);
    messages.push_back({RequireString(message, "role", at), RequireString(message, "content", at)});
  }
  return messages;
}

// Splits each of `wholes` behind the longest beginning that all share with `prompt`.
ExampleIds CutAtPrompt(Ids prompt, std::vector<Ids> wholes) {
  std::size_t shared = prompt.size();
  for (const Ids& whole : wholes) {
    const auto parted =
        std::mismatch(prompt.begin(), prompt.end(), whole.begin(), whole.end()).first;
    shared = std::min(shared, static_cast<std::size_t>(parted - prompt.begin()));
  }
  prompt.resize(shared);
  for (Ids& whole : wholes)
    whole.erase(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(shared));
  return {std::move(prompt), std::move(wholes)};
}

// Returns the length of the prompt that two texts begin with: the characters that they share,
// without a blank at the end. At least one character of the shorter text is left as its side.
std::size_t SharedText(std::string_view a, std::string_view b) {
  const std::size_t shorter = std::min(a.size(), b.size());
  std::size_t n = static_cast<std::size_t>(
      std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  const bool differ = n < shorter;
  if (!differ && n > 0) --n;
  while (n > 0 && (static_cast<unsigned char>(a[n]) & 0xC0) == 0x80) --n;
  if (differ && n > 0 && a[n - 1] == ' ') --n;
  return n;
}

std::size_t SharedMessages(const json& a, const json& b) {
  const std::size_t shorter = std::min(a.size(), b.size());
  std::size_t n = 0;
  while (n < shorter && a[n] == b[n]) ++n;
  return n < shorter || n == 0 ? n : n - 1;
}

// Follows TRL's function extract_prompt.
json ExtractPrompt(const json& object, const std::string& first, const std::string& second,
                   const std::string& where) {
  const json &a = RequireKey(object, first, where), &b = RequireKey(object, second, where);
  if (a.is_array() && b.is_array()) {
    const auto n = static_cast<std::ptrdiff_t>(SharedMessages(a, b));
    if (n == 0)
      Fail("{}: {} and {} share no first message; give a \"prompt\"", where, first, second);
    return {{"prompt", json(a.begin(), a.begin() + n)},
            {first, json(a.begin() + n, a.end())},
            {second, json(b.begin() + n, b.end())}};
  }
  const std::string &x = RequireString(object, first, where),
                    &y = RequireString(object, second, where);
  const std::size_t n = SharedText(x, y);
  return {{"prompt", x.substr(0, n)}, {first, x.substr(n)}, {second, y.substr(n)}};
}

ExampleIds EncodeChat(const json& object, const std::vector<std::string>& sides,
                      const TextCoding& coding, const std::string& where) {
  const auto encode = [&](const Messages& messages, bool add_generation_prompt) {
    return WithWhere(where, [&] {
      return coding.format.Encode(coding.tokenizer, messages, add_generation_prompt);
    });
  };
  const Messages prompt = ReadMessages(object, "prompt", where);
  std::vector<Ids> wholes;
  for (const std::string& side : sides) {
    Messages whole = prompt;
    for (ChatMessage& message : ReadMessages(object, side, where))
      whole.push_back(std::move(message));
    wholes.push_back(encode(whole, false));
  }
  return CutAtPrompt(encode(prompt, true), std::move(wholes));
}

ExampleIds EncodeTexts(const json& object, const std::vector<std::string>& sides,
                       const TextCoding& coding, const std::string& where) {
  const auto encode = [&](const std::string& text) {
    return WithWhere(where, [&] { return coding.tokenizer.EncodeWithSpecial(text); });
  };
  const TokenId eos_id = coding.tokenizer.eos();
  const std::string eos = coding.adds_eos && eos_id >= 0 ? coding.tokenizer.Piece(eos_id) : "";
  const std::string& prompt = RequireString(object, "prompt", where);
  std::vector<Ids> wholes;
  for (const std::string& side : sides) {
    const std::string& text = RequireString(object, side, where);
    wholes.push_back(encode(prompt + text + (text.ends_with(eos) ? "" : eos)));
  }
  return CutAtPrompt(encode(prompt), std::move(wholes));
}

}  // namespace

ExampleIds EncodeExample(const json& object, const std::vector<std::string>& sides,
                         const TextCoding& coding, const std::string& where) {
  const auto prompt = object.find("prompt");
  const bool chats = std::all_of(sides.begin(), sides.end(), [&](const std::string& side) {
    return RequireKey(object, side, where).is_array();
  });
  if (sides.size() == 2 && (prompt == object.end() || (chats && prompt->is_string()))) {
    json explicit_prompt = object;
    explicit_prompt.update(ExtractPrompt(object, sides[0], sides[1], where));
    return EncodeExample(explicit_prompt, sides, coding, where);
  }
  return RequireKey(object, "prompt", where).is_array() ? EncodeChat(object, sides, coding, where)
                                                        : EncodeTexts(object, sides, coding, where);
}

std::vector<TokenId> EncodeMessages(const json& object, const TextCoding& coding,
                                    const std::string& where) {
  const Messages messages = ReadMessages(object, "messages", where);
  return WithWhere(where, [&] { return coding.format.Encode(coding.tokenizer, messages, false); });
}

}  // namespace pivotal::data
