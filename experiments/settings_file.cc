// Apache-2.0.
#include "experiments/settings_file.h"

#include <sstream>

#include "data/file_sink.h"

namespace pivotal::experiments {

SettingsFile::SettingsFile(std::string by) : by_(std::move(by)) {
  root_.insert("pivotal_version", PIVOTAL_VERSION);
}

SettingsFile::SettingsFile(const std::filesystem::path& path, std::string by)
    : source_(path.string()), by_(std::move(by)) {
  if (!std::filesystem::exists(path))
    Fail("{}: no such file; expected the output folder of {}", source_, by_);
  try {
    root_ = toml::parse(data::ReadFile(path), source_);
  } catch (const toml::parse_error& error) {
    Fail("{}:{}: {}", source_, error.source().begin.line, error.description());
  }
}

std::string SettingsFile::Text() const {
  std::ostringstream text;
  text << root_ << "\n";
  return text.str();
}

void SettingsFile::Save(const std::filesystem::path& path) const {
  data::FileSink file(path);
  file.Write(Text());
  file.Commit();
}

void SettingsFile::RequireKnown(const std::set<std::pair<std::string, std::string>>& known) const {
  for (const auto& [section, table] : root_) {
    const std::string name(section.str());
    if (!table.is_table()) Fail("{}: {} must be a table of settings", source_, name);
    for (const auto& [key, value] : *table.as_table())
      if (!known.contains({name, std::string(key.str())})) Fail("{}: there is no setting {}.{}", source_, name, key.str());
  }
}

bool SettingsFile::Contains(std::string_view section, std::string_view key) const {
  return static_cast<bool>(root_[section][key]);
}

std::vector<std::array<std::string, 3>> SettingsFile::All() const {
  std::vector<std::array<std::string, 3>> all;
  for (const auto& [section, table] : root_) {
    if (!table.is_table()) continue;
    for (const auto& [key, value] : *table.as_table()) {
      std::ostringstream text;
      text << toml::node_view(value);
      all.push_back({std::string(section.str()), std::string(key.str()), text.str()});
    }
  }
  return all;
}

void SettingsFile::FailType(std::string_view section, std::string_view key, const char* type) const {
  Fail("{}: {}.{} is not {}", source_, section, key, type);
}

}  // namespace pivotal::experiments
