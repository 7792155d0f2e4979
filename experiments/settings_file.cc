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

void SettingsFile::Save(const std::filesystem::path& path) const {
  std::ostringstream text;
  text << root_ << "\n";
  data::FileSink file(path);
  file.Write(text.str());
  file.Commit();
}

bool SettingsFile::Contains(std::string_view section, std::string_view key) const {
  return static_cast<bool>(root_[section][key]);
}

void SettingsFile::FailType(std::string_view section, std::string_view key, const char* type) const {
  Fail("{}: {}.{} is not {}", source_, section, key, type);
}

}  // namespace pivotal::experiments
