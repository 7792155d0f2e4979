// Apache-2.0.
#include "experiments/settings/settings_file.h"

#include <toml++/toml.h>

#include <optional>
#include <sstream>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "pivotal/version.h"

namespace pivotal::experiments {

struct SettingsFile::Table {
  toml::table root;
};

SettingsFile::SettingsFile(std::string source, std::string by)
    : source_(std::move(source)), by_(std::move(by)), table_(std::make_unique<Table>()) {}

SettingsFile::SettingsFile(std::string by) : SettingsFile(std::string(), std::move(by)) {
  table_->root.insert("pivotal_version", PIVOTAL_VERSION_STRING);
}

SettingsFile::SettingsFile(const std::filesystem::path& path, std::string by)
    : SettingsFile(path.string(), std::move(by)) {
  if (!std::filesystem::exists(path))
    Fail("{}: no such file; expected the output folder of {}", source_, by_);
  try {
    table_->root = toml::parse(data::ReadFile(path), source_);
  } catch (const toml::parse_error& error) {
    Fail("{}:{}: {}", source_, error.source().begin.line, error.description());
  }
}

template <typename TomlTable>
SettingsFile SettingsFile::OfTable(const TomlTable& settings, std::string source) {
  SettingsFile file(std::move(source), std::string());
  file.table_->root = settings;
  return file;
}
template SettingsFile SettingsFile::OfTable(const toml::table&, std::string);

SettingsFile::SettingsFile(SettingsFile&&) noexcept = default;
SettingsFile::~SettingsFile() = default;

std::string SettingsFile::Text() const {
  std::ostringstream text;
  text << table_->root << "\n";
  return text.str();
}

void SettingsFile::Save(const std::filesystem::path& path) const { data::WriteFile(path, Text()); }

void SettingsFile::RequireKnown(const std::set<std::pair<std::string, std::string>>& known) const {
  for (const auto& [section, table] : table_->root) {
    const std::string name(section.str());
    if (!table.is_table()) Fail("{}: {} must be a table of settings", source_, name);
    for (const auto& [key, value] : *table.as_table())
      if (!known.contains({name, std::string(key.str())}))
        Fail("{}: there is no setting {}.{}", source_, name, key.str());
  }
}

bool SettingsFile::Contains(std::string_view section, std::string_view key) const {
  return static_cast<bool>(table_->root[section][key]);
}

std::vector<std::array<std::string, 3>> SettingsFile::All() const {
  std::vector<std::array<std::string, 3>> all;
  for (const auto& [section, table] : table_->root) {
    if (!table.is_table()) continue;
    for (const auto& [key, value] : *table.as_table()) {
      std::ostringstream text;
      text << toml::node_view(value);
      all.push_back({std::string(section.str()), std::string(key.str()), text.str()});
    }
  }
  return all;
}

void SettingsFile::SetValue(std::string_view section, std::string_view key, const Value& value) {
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
    Fail("{}: no {}.{}; the file was not written by {}", source_, section, key, by_);
  const auto node = table_->root[section][key];
  const auto take = [&](auto found, auto& to, const char* type) {
    if (!found) Fail("{}: {}.{} is not {}", source_, section, key, type);
    to = *found;
  };
  if (auto* texts = std::get_if<std::vector<std::string>>(&value)) {
    if (!node.is_array()) Fail("{}: {}.{} is not an array", source_, section, key);
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

}  // namespace pivotal::experiments
