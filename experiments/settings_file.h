// Apache-2.0. Settings that a run keeps beside its results, as TOML: run.toml, train.toml.
#pragma once

#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <toml++/toml.h>
#include <type_traits>
#include <vector>

#include "data/error.h"

namespace pivotal::experiments {

// Settings by section and key. `by`, the command that writes such files, is named in errors.
class SettingsFile {
 public:
  explicit SettingsFile(std::string by);
  // Reads `path`. Throws Error that names the file and, for bad TOML, the line.
  SettingsFile(const std::filesystem::path& path, std::string by);
  // A table of a larger file; `source` names its place.
  SettingsFile(toml::table settings, std::string source) : source_(std::move(source)), root_(std::move(settings)) {}

  // As TOML.
  std::string Text() const;
  // Written aside and renamed.
  void Save(const std::filesystem::path& path) const;

  bool Contains(std::string_view section, std::string_view key) const;
  // Throws Error that names a setting that is none of `known`.
  void RequireKnown(const std::set<std::pair<std::string, std::string>>& known) const;
  // Section, key and value as TOML writes it, in the order of the names.
  std::vector<std::array<std::string, 3>> All() const;

  template <typename T>
  void Set(std::string_view section, std::string_view key, const T& value) {
    toml::table& table = *root_.insert(section, toml::table{}).first->second.as_table();
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      toml::array array;
      for (const std::string& text : value) array.push_back(text);
      table.insert_or_assign(key, std::move(array));
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      table.insert_or_assign(key, value.string());
    } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      table.insert_or_assign(key, static_cast<int64_t>(value));
    } else {
      table.insert_or_assign(key, value);
    }
  }

  // Throws Error that names file, section and key if the setting is missing or of another type.
  template <typename T>
  void Get(std::string_view section, std::string_view key, T& value) const {
    if (!Contains(section, key))
      Fail("{}: no {}.{}; the file was not written by {}", source_, section, key, by_);
    const auto node = root_[section][key];
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      value.clear();
      if (!node.is_array()) FailType(section, key, "an array");
      for (const toml::node& item : *node.as_array())
        value.push_back(Take<std::string>(toml::node_view(item), section, key, "an array of strings"));
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      value = Take<std::string>(node, section, key, "a string");
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = Take<std::string>(node, section, key, "a string");
    } else if constexpr (std::is_same_v<T, bool>) {
      value = Take<bool>(node, section, key, "true or false");
    } else if constexpr (std::is_floating_point_v<T>) {
      value = static_cast<T>(Take<double>(node, section, key, "a number"));
    } else {
      value = static_cast<T>(Take<int64_t>(node, section, key, "an integer"));
    }
  }
  template <typename T>
  T Get(std::string_view section, std::string_view key) const {
    T value;
    Get(section, key, value);
    return value;
  }

 private:
  template <typename T, typename Node>
  T Take(const Node& node, std::string_view section, std::string_view key, const char* type) const {
    const auto value = [&] {
      if constexpr (std::is_same_v<T, double>) return node.template value<double>();
      else return node.template value_exact<T>();
    }();
    if (!value) FailType(section, key, type);
    return *value;
  }
  [[noreturn]] void FailType(std::string_view section, std::string_view key, const char* type) const;

  std::string source_, by_;
  toml::table root_;
};

}  // namespace pivotal::experiments
