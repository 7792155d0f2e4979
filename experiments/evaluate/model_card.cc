// Apache-2.0.
#include "experiments/evaluate/model_card.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/hub_cache.h"
#include "data/base/text.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

// Returns a text as a YAML scalar: a plain word as it is, any other text in double quotes, whose
// escapes are those of JSON.
std::string YamlText(std::string_view text) {
  static const std::regex kWord("[A-Za-z][A-Za-z0-9_./-]*");
  static const std::regex kOther("y|n|yes|no|true|false|on|off|null", std::regex::icase);
  if (std::regex_match(text.begin(), text.end(), kWord) &&
      !std::regex_match(text.begin(), text.end(), kOther))
    return std::string(text);
  std::string visible = data::Visible(text, "");
  for (const char* unprintable : {"\uFFFE", "\uFFFF"})
    data::ReplaceAll(visible, unprintable, "\uFFFD");
  return nlohmann::json(visible).dump();
}

// Returns how many `mark` stand side by side at most.
std::size_t LongestRun(std::string_view text, char mark) {
  std::size_t longest = 0, run = 0;
  for (const char c : text) longest = std::max(longest, run = c == mark ? run + 1 : 0);
  return longest;
}

// Returns a scalar of one line of YAML as its text; "" if it is none.
std::string ScalarOf(std::string_view yaml) {
  yaml = data::Trim(yaml);
  if (yaml.starts_with('"')) {
    const auto end = yaml.find('"', 1);
    const auto text = nlohmann::json::parse(yaml.substr(0, end == yaml.npos ? end : end + 1),
                                            nullptr, /*allow_exceptions=*/false);
    return text.is_string() ? text.get<std::string>() : "";
  }
  if (yaml.starts_with('\'')) {
    const auto end = yaml.find('\'', 1);
    return end == yaml.npos ? "" : std::string(yaml.substr(1, end - 1));
  }
  yaml = data::Trim(yaml.substr(0, yaml.find(" #")));
  return yaml.find_first_of("[]{}&*!|>%@`") == 0 || yaml.starts_with('#') ? "" : std::string(yaml);
}

// Returns the keys about the licence in the front matter of a model's card, as lines of YAML.
std::string LicenceLines(const fs::path& folder) {
  std::string lines;
  try {
    if (!data::Exists(folder / "README.md")) return "";
    std::istringstream card(data::ReadFile(folder / "README.md"));
    std::string line;
    if (!std::getline(card, line) || data::Trim(line) != "---") return "";
    while (std::getline(card, line) && data::Trim(line) != "---") {
      for (const std::string key : {"license", "license_name", "license_link"}) {
        if (!line.starts_with(key + ":")) continue;
        const std::string value = ScalarOf(line.substr(key.size() + 1));
        // A link to a file of the other folder would lead nowhere.
        if (!value.empty() && (key != "license_link" || value.starts_with("http")))
          lines += fmt::format("{}: {}\n", key, YamlText(value));
      }
    }
  } catch (const Error&) {  // a card that cannot be read tells no licence
  }
  return lines;
}

}  // namespace

std::string BareName(const fs::path& path) {
  const fs::path normal = data::Absolute(path).lexically_normal();
  const fs::path name = normal.has_filename() ? normal.filename() : normal.parent_path().filename();
  return name.empty() ? "model" : name.string();
}

std::string ModelName(const fs::path& folder) {
  if (const std::string name = data::HubNameOf(data::HubKind::kModel, folder).id; !name.empty())
    return name;
  try {
    const auto config = nlohmann::json::parse(data::ReadFile(folder / "config.json"), nullptr,
                                              /*allow_exceptions=*/false);
    static const std::regex kHubName("[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*");
    if (config.is_object() && config.contains("_name_or_path") &&
        config["_name_or_path"].is_string()) {
      const auto name = config["_name_or_path"].get<std::string>();
      if (std::regex_match(name, kHubName)) return name;
    }
  } catch (const Error&) {  // a folder without config.json
  }
  return BareName(folder);
}

std::string DataName(const fs::path& file) {
  const std::string name = data::HubNameOf(data::HubKind::kDataset, file).id;
  if (!name.empty()) return name;
  // A name that was given in place of a path, such as openai/gsm8k:test.
  const auto given = data::ParseHubName(file.string().substr(0, file.string().find(':')));
  return given && !data::Exists(file) ? given->id : BareName(file);
}

std::string CardHeadText(const CardHead& head) {
  const std::string base = ModelName(head.base);
  std::string text = "---\n";
  const auto list = [&](const char* key, const std::vector<std::string>& items) {
    text += fmt::format("{}:\n", key);
    for (const std::string& item : items) text += fmt::format("- {}\n", YamlText(item));
  };
  text += fmt::format("base_model: {}\n", YamlText(base));
  if (!head.datasets.empty()) list("datasets", head.datasets);
  text += fmt::format("library_name: {}\n", head.adapter ? "peft" : "transformers");
  text += LicenceLines(head.base);
  text += "pipeline_tag: text-generation\n";
  std::vector<std::string> tags = {"pivotal"};
  tags.insert(tags.end(), head.tags.begin(), head.tags.end());
  if (head.adapter)  // as PEFT names them
    tags.insert(tags.end(), {"base_model:adapter:" + base, "lora", "transformers"});
  list("tags", tags);
  return text + "---\n";
}

std::string MarkdownCode(std::string_view text) {
  const std::string visible = data::Visible(text, "");
  const std::string fence(LongestRun(visible, '`') + 1, '`');
  // A space at both ends is no part of the code; it keeps backticks and spaces at the ends.
  const bool padded = visible.empty() || visible.find_first_of("` ") == 0 ||
                      visible.find_last_of("` ") == visible.size() - 1;
  return padded ? fence + " " + visible + " " + fence : fence + visible + fence;
}

std::string MarkdownCell(std::string_view text) {
  std::string cell(text);
  data::ReplaceAll(cell, "|", "\\|");
  return cell;
}

std::string MarkdownCodeCell(std::string_view text) { return MarkdownCell(MarkdownCode(text)); }

std::string MarkdownBlock(std::string_view text, std::string_view language) {
  const std::string visible = data::Visible(text, "\n\t");
  const std::string fence(std::max<std::size_t>(3, LongestRun(visible, '`') + 1), '`');
  return fmt::format("{}{}\n{}{}{}\n", fence, language, visible,
                     visible.ends_with('\n') ? "" : "\n", fence);
}

std::string MarkdownText(std::string_view name) {
  std::string text;
  for (const char c : data::Visible(name, "")) {
    if (std::string_view("\\`|*<[").find(c) != std::string_view::npos) text += '\\';
    text += c;
  }
  return text;
}

std::string MarkdownTable(const std::vector<std::string>& heads,
                          const std::vector<std::vector<std::string>>& rows) {
  std::string text = fmt::format("| {} |\n|", fmt::join(heads, " | "));
  for (std::size_t i = 0; i < heads.size(); ++i) text += "---|";
  text += '\n';
  for (const auto& row : rows) text += fmt::format("| {} |\n", fmt::join(row, " | "));
  return text;
}

}  // namespace pivotal::experiments
