// Apache-2.0.
#include "experiments/ablation/recipe_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/text.h"

namespace pivotal::experiments {

RecipeFile::RecipeFile(std::filesystem::path path) : path_(std::move(path)) {
  try {
    root_ = toml::parse(data::ReadFile(path_), path_.string());
  } catch (const toml::parse_error& error) {
    Fail("{}:{}: {}", path_.string(), error.source().begin.line, error.description());
  }
}

void RecipeFile::FailAt(const toml::node& node, const std::string& what) const {
  Fail("{}:{}: {}", path_.string(), node.source().begin.line, what);
}

void RecipeFile::CheckKeys(const toml::table& table, const std::string& where,
                           std::initializer_list<std::string_view> known) const {
  for (const auto& [key, value] : table) {
    if (std::ranges::find(known, key.str()) != known.end()) continue;
    FailAt(value, fmt::format("{}{} is no key of a recipe{}", where, key.str(),
                              data::DidYouMean(key.str(), {known.begin(), known.end()})));
  }
}

std::string RecipeFile::Text(const toml::table& table, std::string_view key,
                             const std::string& otherwise) const {
  const toml::node* node = table.get(key);
  if (node == nullptr) return otherwise;
  if (!node->is_string()) FailAt(*node, fmt::format("{} must be a string", key));
  return *node->value<std::string>();
}

int64_t RecipeFile::Integer(const toml::table& table, std::string_view key, int64_t otherwise,
                            int64_t least) const {
  static constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const toml::node* node = table.get(key);
  if (node == nullptr) return otherwise;
  if (!node->is_integer() || *node->value<int64_t>() < least || *node->value<int64_t>() > kMost)
    FailAt(*node, fmt::format("{} must be an integer from {} to {}", key, least, kMost));
  return *node->value<int64_t>();
}

double RecipeFile::Number(const toml::table& table, std::string_view key, double otherwise,
                          double least) const {
  const toml::node* node = table.get(key);
  if (node == nullptr) return otherwise;
  const auto value = node->is_number() ? node->value<double>() : std::nullopt;
  if (!value || !(*value >= least))
    FailAt(*node, fmt::format("{} must be a number, at least {}", key, least));
  return *value;
}

std::vector<const toml::table*> RecipeFile::Tables(const toml::table& table,
                                                   std::string_view key) const {
  std::vector<const toml::table*> tables;
  const toml::node* node = table.get(key);
  if (node == nullptr) return tables;
  if (node->is_array() && node->as_array()->empty())
    FailAt(*node, fmt::format("{} is empty; leave it out, or give it tables", key));
  if (!node->is_array_of_tables())
    FailAt(*node, fmt::format("{} must be an array of tables: [[{}]]", key, key));
  for (const toml::node& item : *node->as_array()) tables.push_back(item.as_table());
  return tables;
}

std::vector<int64_t> RecipeFile::Integers(const toml::node& node, std::string_view key,
                                          int64_t least) const {
  if (!node.is_array() || node.as_array()->empty())
    FailAt(node, fmt::format("{} must be an array of integers, at least one of them", key));
  std::vector<int64_t> values;
  for (const toml::node& item : *node.as_array()) {
    if (!item.is_integer() || *item.value<int64_t>() < least)
      FailAt(item, fmt::format("{} must be integers, at least {}", key, least));
    values.push_back(*item.value<int64_t>());
  }
  if (std::set<int64_t>(values.begin(), values.end()).size() < values.size())
    FailAt(node, fmt::format("{} must differ from one another", key));
  return values;
}

}  // namespace pivotal::experiments
