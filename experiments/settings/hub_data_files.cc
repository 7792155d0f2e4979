// Apache-2.0.
#include "experiments/settings/hub_data_files.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/text.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTrain = "train";

// Words in names of files and folders, and the splits that they mean.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kSplitWords = {{
    {"train", kTrain},
    {"training", kTrain},
    {"validation", "validation"},
    {"valid", "validation"},
    {"dev", "validation"},
    {"val", "validation"},
    {"test", "test"},
    {"testing", "test"},
    {"eval", "test"},
    {"evaluation", "test"},
}};

// Returns the files of a snapshot that can hold problems, as paths from its folder, in order.
std::vector<std::string> DataFiles(const fs::path& snapshot) {
  std::vector<std::string> files;
  for (const fs::path& path : data::FilesUnder(snapshot)) {
    const std::string name = path.lexically_relative(snapshot).string();
    fs::path bare = name;
    if (bare.extension() == ".gz" || bare.extension() == ".zst") bare.replace_extension();
    const std::string kind = bare.extension().string();
    if (kind == ".jsonl" || kind == ".json" || kind == ".csv" || kind == ".parquet")
      files.push_back(name);
  }
  std::ranges::sort(files);
  return files;
}

// Returns the front matter of a card, between lines of "---"; "" if there is none.
std::string FrontMatter(const fs::path& card) {
  if (!data::Exists(card)) return "";
  const std::string text = data::ReadFile(card);
  const auto first = text.find('\n');
  if (first == std::string::npos || data::Trim(text.substr(0, first)) != "---") return "";
  for (std::size_t begin = first + 1; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (data::Trim(std::string_view(text).substr(begin, end - begin)) == "---")
      return text.substr(first + 1, begin - first - 1);
    begin = end + 1;
  }
  return "";
}

// In a pattern * stays in a folder, and ** does not.
bool Matches(const std::string& pattern, const std::string& file) {
  const int flags = pattern.find("**") == std::string::npos ? FNM_PATHNAME : 0;
  return ::fnmatch(pattern.c_str(), file.c_str(), flags) == 0;
}

// Reads a string or a list of strings.
std::vector<std::string> Texts(const YAML::Node& node) {
  if (node.IsScalar()) return {node.as<std::string>()};
  return node.as<std::vector<std::string>>();
}

// The configurations of a card, matched with the files of its snapshot.
class CardReader {
 public:
  CardReader(const fs::path& snapshot, std::vector<std::string> files)
      : snapshot_(snapshot), files_(std::move(files)) {}

  DataParts Read(const YAML::Node& configs) {
    for (const YAML::Node& config : configs) {
      const auto name = config["config_name"].as<std::string>();
      if (config["default"] && config["default"].as<bool>()) parts_.usual_config = name;
      folder_ = config["data_dir"] ? config["data_dir"].as<std::string>() + "/" : "";
      const YAML::Node& data = config["data_files"];
      if (!data) {
        Add(name, kTrain, {"**"});
      } else if (data.IsSequence() && data.size() > 0 && data[0].IsMap()) {
        for (const YAML::Node& split : data)
          Add(name, split["split"].as<std::string>(), Texts(split["path"]));
      } else {
        Add(name, kTrain, Texts(data));
      }
    }
    return std::move(parts_);
  }

 private:
  void Add(const std::string& config, std::string_view split,
           const std::vector<std::string>& patterns) {
    DataPart part{config, std::string(split), {}};
    for (const std::string& file : files_)
      if (std::ranges::any_of(patterns, [&](const std::string& pattern) {
            return Matches(folder_ + pattern, file);
          }))
        part.files.push_back(snapshot_ / file);
    parts_.parts.push_back(std::move(part));
  }

  const fs::path& snapshot_;
  std::vector<std::string> files_;
  std::string folder_;
  DataParts parts_;
};

// Returns the split that a word of the name means; words are divided by what is no letter.
std::optional<std::string_view> SplitIn(std::string_view name) {
  for (std::size_t begin = 0; begin < name.size();) {
    std::size_t end = begin;
    while (end < name.size() && data::IsLetter(name[end])) ++end;
    const std::string_view word = name.substr(begin, end - begin);
    for (const auto& [known, split] : kSplitWords)
      if (word == known) return split;
    begin = end + 1;
  }
  return std::nullopt;
}

DataParts PartsByName(const fs::path& snapshot, const std::vector<std::string>& files) {
  DataParts found;
  for (const std::string& file : files) {
    const fs::path path = file;
    auto split = SplitIn(path.filename().string());
    std::string config;
    for (const fs::path& folder : path.parent_path()) {
      const auto of_folder = SplitIn(folder.string());
      if (of_folder && !split) split = of_folder;
      if (folder == "data" || of_folder) continue;
      config += (config.empty() ? "" : "/") + folder.string();
    }
    if (config.empty()) config = "default";
    const std::string name(split.value_or(kTrain));
    auto part = std::ranges::find_if(found.parts, [&](const DataPart& known) {
      return known.config == config && known.split == name;
    });
    if (part == found.parts.end()) part = found.parts.insert(part, DataPart{config, name, {}});
    part->files.push_back(snapshot / file);
  }
  return found;
}

}  // namespace

DataParts DataPartsOf(const fs::path& snapshot) {
  const fs::path card = snapshot / "README.md";
  auto files = DataFiles(snapshot);
  try {
    const YAML::Node head = YAML::Load(FrontMatter(card));
    if (head.IsMap() && head["configs"] && head["configs"].IsSequence())
      return CardReader(snapshot, std::move(files)).Read(head["configs"]);
  } catch (const YAML::Exception& error) {
    Fail("{}: its configurations cannot be read ({}); name the file itself by --problems",
         card.string(), error.what());
  }
  return PartsByName(snapshot, files);
}

}  // namespace pivotal::experiments
