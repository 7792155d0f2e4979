// Apache-2.0. From a question to the token ids of the query x.
#include "data/prompt_format.h"

#include <array>
#include <utility>

#include "data/error.h"

namespace pivotal::data {
namespace {

struct Template {
  PromptFormat format;
  std::string_view name, before, after;
};

constexpr std::array<Template, 3> kTemplates = {{
    {PromptFormat::kPlain, "plain", "Question: ", "\nAnswer:"},
    {PromptFormat::kPhi2, "phi-2", "Instruct: ", "\nOutput:"},
    {PromptFormat::kPhi3, "phi-3", "<|user|>\n", "<|end|>\n<|assistant|>\n"},
}};

const Template& TemplateOf(PromptFormat format) {
  for (const Template& item : kTemplates) {
    if (item.format == format) return item;
  }
  Fail("unknown prompt format {}", static_cast<int>(format));
}

}  // namespace

PromptFormat ParsePromptFormat(std::string_view name) {
  for (const Template& item : kTemplates) {
    if (item.name == name) return item.format;
  }
  Fail("unknown prompt format \"{}\"; choose plain, phi-2 or phi-3", name);
}

std::string_view PromptFormatName(PromptFormat format) { return TemplateOf(format).name; }

PromptFormat DetectPromptFormat(const Tokenizer& tokenizer) {
  return tokenizer.Encode("<|assistant|>").size() == 1 ? PromptFormat::kPhi3 : PromptFormat::kPlain;
}

std::string FormatPrompt(PromptFormat format, std::string_view question) {
  const Template& item = TemplateOf(format);
  return fmt::format("{}{}{}", item.before, question, item.after);
}

std::vector<TokenId> EncodePrompt(const Tokenizer& tokenizer, PromptFormat format,
                                  std::string_view question) {
  std::vector<TokenId> ids = tokenizer.Encode(FormatPrompt(format, question));
  if (tokenizer.adds_bos()) ids.insert(ids.begin(), tokenizer.bos());
  return ids;
}

}  // namespace pivotal::data
