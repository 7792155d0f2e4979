// Apache-2.0.
#include "experiments/settings/settings_file.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <toml++/toml.h>

#include <array>
#include <charconv>
#include <optional>
#include <sstream>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/text.h"
#include "data/base/utf8.h"
#include "pivotal/version.h"

namespace pivotal::experiments {
namespace {

constexpr std::string_view kVersion = "pivotal_version";

// Returns a number as TOML, with the fewest digits that read back as the same number.
std::string NumberText(double value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  // Without one of these characters ("inf" and "nan" have one), TOML would read an integer.
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

// Returns a value as TOML.
std::string ValueText(const toml::node& value) {
  if (const auto* number = value.as_floating_point()) return NumberText(number->get());
  const auto text_with = [&](toml::format_flags flags) {
    std::ostringstream text;
    text << toml::toml_formatter(value, flags);
    return text.str();
  };
  using Flags = toml::format_flags;
  const Flags usual = toml::toml_formatter::default_flags;
  std::string text = text_with(usual);
  // TOML drops a line end that follows three quotes, so texts with line ends are escaped.
  if (text.find('\n') != std::string::npos)
    text = text_with(usual & ~(Flags::allow_multi_line_strings | Flags::allow_literal_strings));
  return text;
}

// Returns a key as TOML, in quotes if it needs them.
std::string KeyText(std::string_view key) {
  static constexpr std::string_view kBare =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  const bool bare = !key.empty() && key.find_first_not_of(kBare) == std::string_view::npos;
  return bare ? std::string(key) : ValueText(toml::value<std::string>(std::string(key)));
}

// Returns "; did you mean SECTION.KEY?" with the nearest setting that is known, or "".
std::string NearestSetting(std::string_view prefix, std::string_view section, std::string_view key,
                           const std::set<std::pair<std::string, std::string>>& known) {
  std::vector<std::string> names;
  for (const auto& [other, name] : known) {
    if (name == key) return fmt::format("; did you mean {}{}.{}?", prefix, other, name);
    if (other == section) names.push_back(name);
  }
  const std::string nearest = data::Nearest(key, names);
  return nearest.empty() ? "" : fmt::format("; did you mean {}{}.{}?", prefix, section, nearest);
}

}  // namespace

struct SettingsFile::Table {
  toml::table root;
  const toml::table* lines = &root;  // the same settings where they were read: copies have no lines
};

SettingsFile::SettingsFile(std::string source, std::string by)
    : source_(std::move(source)), by_(std::move(by)), table_(std::make_unique<Table>()) {}

SettingsFile::SettingsFile(std::string by) : SettingsFile(std::string(), std::move(by)) {
  table_->root.insert(kVersion, PIVOTAL_VERSION_STRING);
}

SettingsFile::SettingsFile(const std::filesystem::path& path, std::string by)
    : SettingsFile(path.string(), std::move(by)) {
  if (!data::Exists(path)) Fail("{}: no such file; expected the output folder of {}", source_, by_);
  try {
    table_->root = toml::parse(data::ReadFile(path), source_);
  } catch (const toml::parse_error& error) {
    Fail("{}:{}: {}", source_, error.source().begin.line, error.description());
  }
}

template <typename TomlTable>
SettingsFile SettingsFile::OfTable(const TomlTable& settings, std::string source,
                                   std::string prefix) {
  SettingsFile file(std::move(source), std::string());
  file.prefix_ = std::move(prefix);
  file.table_->root = settings;
  file.table_->lines = &settings;
  return file;
}
template SettingsFile SettingsFile::OfTable(const toml::table&, std::string, std::string);

SettingsFile::SettingsFile(SettingsFile&&) noexcept = default;
SettingsFile::~SettingsFile() = default;

std::string SettingsFile::Text() const {
  std::string text, tables;
  for (const auto& [name, value] : table_->root) {
    if (!value.is_table()) {
      text += fmt::format("{} = {}\n", KeyText(name.str()), ValueText(value));
      continue;
    }
    tables += fmt::format("\n[{}]\n", KeyText(name.str()));
    for (const auto& [key, setting] : *value.as_table())
      tables += fmt::format("{} = {}\n", KeyText(key.str()), ValueText(setting));
  }
  return text + tables;
}

void SettingsFile::Save(const std::filesystem::path& path) const { data::WriteFile(path, Text()); }

std::string SettingsFile::WhereOf(std::string_view section, std::string_view key) const {
  const toml::node* const table = table_->lines->get(section);
  const toml::node* const value =
      table != nullptr && table->is_table() ? table->as_table()->get(key) : nullptr;
  const toml::node* const node = value != nullptr ? value : table;
  const uint32_t line = node != nullptr ? node->source().begin.line : 0;
  return line > 0 ? fmt::format("{}:{}", source_, line) : source_;
}

void SettingsFile::FailAt(std::string_view section, std::string_view key,
                          std::string_view what) const {
  Fail("{}: {}{}.{}: {}", WhereOf(section, key), prefix_, section, key, what);
}

void SettingsFile::RequireKnown(const std::set<std::pair<std::string, std::string>>& known) const {
  const auto version = table_->root[kVersion].value_or<std::string>(PIVOTAL_VERSION_STRING);
  const std::string remedy =
      version == PIVOTAL_VERSION_STRING
          ? ""
          : fmt::format("; Pivotal {} wrote the file, and this is {}: use that version", version,
                        PIVOTAL_VERSION_STRING);
  for (const auto& [section, table] : table_->root) {
    const std::string name(section.str());
    if (!table.is_table() && known.contains({"", name})) continue;
    if (!table.is_table())
      Fail("{}: {}{} must be a table of settings{}", WhereOf(name, ""), prefix_, name, remedy);
    for (const auto& [key, value] : *table.as_table())
      if (!known.contains({name, std::string(key.str())}))
        Fail("{}: there is no setting {}{}.{}{}{}", WhereOf(name, key.str()), prefix_, name,
             key.str(), remedy, NearestSetting(prefix_, name, key.str(), known));
  }
}

void SettingsFile::WarnOfMissing(
    const std::set<std::pair<std::string, std::string>>& settings) const {
  std::vector<std::string> missing;
  for (const auto& [section, key] : settings)
    if (!Contains(section, key)) missing.push_back(section + "." + key);
  if (!missing.empty())
    spdlog::warn("{}: has no {}: an older version wrote it; the defaults are taken", source_,
                 fmt::join(missing, ", "));
}

bool SettingsFile::Contains(std::string_view section, std::string_view key) const {
  return static_cast<bool>(table_->root[section][key]);
}

std::vector<std::array<std::string, 3>> SettingsFile::All() const {
  std::vector<std::array<std::string, 3>> all;
  for (const auto& [section, table] : table_->root) {
    if (!table.is_table()) continue;
    for (const auto& [key, value] : *table.as_table())
      all.push_back({std::string(section.str()), std::string(key.str()), ValueText(value)});
  }
  return all;
}

void SettingsFile::SetValue(std::string_view section, std::string_view key, const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value);
      text != nullptr && data::FindInvalidUtf8(*text) != std::string::npos)
    Fail("{}.{}: {} is not UTF-8, which a settings file has to be; rename it", section, key,
         data::Visible(*text));
  toml::table& table = *table_->root.insert(section, toml::table{}).first->second.as_table();
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    toml::array array;
    for (const std::string& text : *texts) array.push_back(text);
    table.insert_or_assign(key, std::move(array));
    return;
  }
  std::visit(
      [&](const auto& single) {
        if constexpr (!std::is_same_v<decltype(single), const std::vector<std::string>&>)
          table.insert_or_assign(key, single);
      },
      value);
}

void SettingsFile::GetValue(std::string_view section, std::string_view key, Value& value) const {
  if (!Contains(section, key))
    Fail("{}: no {}.{}; {} writes it: the file is not whole, or from another program", source_,
         section, key, by_);
  const std::string name = fmt::format("{}: {}{}.{}", WhereOf(section, key), prefix_, section, key);
  const auto node = table_->root[section][key];
  const auto take = [&](auto found, auto& to, const char* type) {
    if (!found) Fail("{} is not {}", name, type);
    to = *found;
  };
  if (auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    if (!node.is_array()) Fail("{} is not an array", name);
    for (const toml::node& item : *node.as_array())
      take(item.value_exact<std::string>(), texts->emplace_back(), "an array of strings");
  } else if (auto* text = std::get_if<std::string>(&value)) {
    take(node.value_exact<std::string>(), *text, "a string");
  } else if (auto* boolean = std::get_if<bool>(&value)) {
    take(node.value_exact<bool>(), *boolean, "true or false");
  } else if (auto* number = std::get_if<double>(&value)) {
    take(node.value<double>(), *number, "a number");
  } else if (auto* integer = std::get_if<int64_t>(&value)) {
    take(node.value_exact<int64_t>(), *integer, "an integer");
  }
}

void SettingsFile::SetUnsigned(std::string_view section, std::string_view key, uint64_t value) {
  if (value <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
    SetValue(section, key, static_cast<int64_t>(value));
  else
    SetValue(section, key, std::to_string(value));
}

uint64_t SettingsFile::GetUnsigned(std::string_view section, std::string_view key) const {
  if (const auto digits = table_->root[section][key].value_exact<std::string>()) {
    uint64_t value = 0;
    const char* end = digits->data() + digits->size();
    const auto read = std::from_chars(digits->data(), end, value);
    if (read.ec == std::errc() && read.ptr == end) return value;
  }
  Value stored = int64_t{0};
  GetValue(section, key, stored);
  const auto value = std::get<int64_t>(stored);
  RequireRange(section, key, value, 0, std::numeric_limits<int64_t>::max());
  return static_cast<uint64_t>(value);
}

void SettingsFile::RequireRange(std::string_view section, std::string_view key, int64_t value,
                                int64_t least, int64_t most) const {
  if (value < least || value > most)
    Fail("{}: {}{}.{} is {}; it must be from {} to {}", WhereOf(section, key), prefix_, section,
         key, value, least, most);
}

}  // namespace pivotal::experiments
