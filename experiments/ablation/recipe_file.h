// Apache-2.0. The TOML file of a recipe, read with Errors that name the file and the line.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::experiments {

class RecipeFile {
 public:
  // Throws Error for bad TOML.
  explicit RecipeFile(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  const toml::table& root() const { return root_; }

  // Throws Error: `what` is wrong at this place.
  [[noreturn]] void FailAt(const toml::node& node, const std::string& what) const;
  // Throws Error for a key that is not `known`; `where` begins its name: "arm.".
  void CheckKeys(const toml::table& table, const std::string& where,
                 std::initializer_list<std::string_view> known) const;

  // Return the value of a key, or `otherwise` where the table lacks it. Throw Error for another
  // type, and for a number below `least`.
  std::string Text(const toml::table& table, std::string_view key,
                   const std::string& otherwise) const;
  int64_t Integer(const toml::table& table, std::string_view key, int64_t otherwise,
                  int64_t least) const;
  double Number(const toml::table& table, std::string_view key, double otherwise,
                double least) const;
  // Returns the tables of the array of tables `key`, or none if there is no such key.
  std::vector<const toml::table*> Tables(const toml::table& table, std::string_view key) const;
  // Returns the integers of an array that has at least one and none twice. `key` is its name.
  std::vector<int64_t> Integers(const toml::node& node, std::string_view key, int64_t least) const;

 private:
  std::filesystem::path path_;
  toml::table root_;
};

}  // namespace pivotal::experiments
