// Apache-2.0. The TOML files run.toml and train.toml, which keep the settings of a run, and the
// settings that both files hold.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "data/base/error.h"

namespace pivotal::experiments {

// Calls validate(), whose Error then begins with the path of the settings.
template <typename F>
void ValidateFile(const std::filesystem::path& path, F&& validate) {
  try {
    validate();
  } catch (const Error& error) {
    Fail("{}: {}", path.string(), error.what());
  }
}

// Settings by section and key. Errors name the file, the line of a setting that was read, and `by`,
// the command that writes such files.
class SettingsFile {
 public:
  // Makes an empty file that `by` writes.
  explicit SettingsFile(std::string by);
  // Reads `path`. Throws Error that names the file and, for bad TOML, the line.
  SettingsFile(const std::filesystem::path& path, std::string by);
  // Makes a file of a toml::table, which must outlive it. Errors call the file `source`, and begin
  // the names of settings with `prefix`.
  template <typename TomlTable>
  static SettingsFile OfTable(const TomlTable& settings, std::string source, std::string prefix);
  SettingsFile(SettingsFile&&) noexcept;
  ~SettingsFile();

  // Returns what an Error about a setting begins with: the file, and the line if it was read.
  std::string WhereOf(std::string_view section, std::string_view key) const;
  // Throws Error: `what` is wrong with a setting.
  [[noreturn]] void FailAt(std::string_view section, std::string_view key,
                           std::string_view what) const;
  // Returns all settings as TOML. A number has the fewest digits that read back as the same number.
  std::string Text() const;
  // Writes the file under a temporary name, then renames it.
  void Save(const std::filesystem::path& path) const;

  bool Contains(std::string_view section, std::string_view key) const;
  // Throws Error that names a setting that is not among `known`, pairs of section and key. Where
  // another version of Pivotal has written the file, the Error says so.
  void RequireKnown(const std::set<std::pair<std::string, std::string>>& known) const;
  // Warns of the settings that the file lacks. An older version, which did not know them, wrote it;
  // they have their defaults.
  void WarnOfMissing(const std::set<std::pair<std::string, std::string>>& settings) const;
  // Returns section, key and value (as TOML writes it) of every setting, ordered by name.
  std::vector<std::array<std::string, 3>> All() const;

  template <typename T>
  void Set(std::string_view section, std::string_view key, const T& value) {
    if constexpr (std::is_same_v<T, std::filesystem::path>)
      SetValue(section, key, value.string());
    else if constexpr (std::is_same_v<T, uint64_t>)
      SetUnsigned(section, key, value);
    else
      SetValue(section, key, static_cast<Stored<T>>(value));
  }
  // Throws Error that names file, section and key if the setting is missing, of another type, or a
  // number that T cannot hold.
  template <typename T>
  void Get(std::string_view section, std::string_view key, T& value) const {
    if constexpr (std::is_same_v<T, uint64_t>) {
      value = GetUnsigned(section, key);
    } else {
      Value stored = Stored<T>();
      GetValue(section, key, stored);
      if constexpr (std::is_same_v<Stored<T>, int64_t>)
        RequireRange(section, key, std::get<int64_t>(stored), std::numeric_limits<T>::min(),
                     std::numeric_limits<T>::max());
      value = static_cast<T>(std::get<Stored<T>>(std::move(stored)));
    }
  }
  template <typename T>
  T Get(std::string_view section, std::string_view key) const {
    T value;
    Get(section, key, value);
    return value;
  }

 private:
  using Value = std::variant<bool, int64_t, double, std::string, std::vector<std::string>>;
  // The type in the file of a setting of type T.
  template <typename T>
  using Stored = std::conditional_t<
      std::is_same_v<T, std::filesystem::path>, std::string,
      std::conditional_t<
          std::is_floating_point_v<T>, double,
          std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int64_t, T>>>;

  SettingsFile(std::string source, std::string by);
  void SetValue(std::string_view section, std::string_view key, const Value& value);
  // Replaces `value` by the setting, which must be of the type that `value` holds.
  void GetValue(std::string_view section, std::string_view key, Value& value) const;
  // TOML's integers end at 2^63 - 1; a larger number is kept as a string of its digits.
  void SetUnsigned(std::string_view section, std::string_view key, uint64_t value);
  uint64_t GetUnsigned(std::string_view section, std::string_view key) const;
  void RequireRange(std::string_view section, std::string_view key, int64_t value, int64_t least,
                    int64_t most) const;

  std::string source_, by_, prefix_;
  struct Table;
  std::unique_ptr<Table> table_;
};

// Visits the settings that run.toml and train.toml keep in [model], except the folder:
// f(section, key, value).
template <typename Settings, typename F>
void ForEachModelSetting(Settings& settings, F&& f) {
  f("model", "adapter", settings.adapter);
  f("model", "device", settings.device);
  f("model", "dtype", settings.dtype);
  f("model", "prompt_format", settings.prompt_format);
  f("model", "system", settings.system);
}

// Visits the settings of the oracle: f(section, key, value).
template <typename Settings, typename F>
void ForEachOracleSetting(const char* section, Settings& problems, F&& f) {
  f(section, "oracle", problems.oracle);
  f(section, "oracle_timeout", problems.oracle_options.timeout);
  f(section, "oracle_memory", problems.oracle_options.memory);
  f(section, "max_oracle_failures", problems.oracle_options.max_failures);
  f(section, "allow_unsandboxed", problems.oracle_options.allow_unsandboxed);
}

}  // namespace pivotal::experiments
