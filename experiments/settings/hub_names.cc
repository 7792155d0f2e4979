// Apache-2.0.
#include "experiments/settings/hub_names.h"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/hub_cache.h"
#include "data/problems/guess.h"
#include "experiments/settings/hub_data_files.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using data::HubKind;
using data::HubName;

constexpr std::size_t kListed = 12;  // configurations or splits in an Error

// Returns a file of the weights that the snapshot lacks; "" if it has all.
std::string MissingWeights(const fs::path& snapshot) {
  if (data::IsThere(snapshot / "model.safetensors")) return "";
  const fs::path index = snapshot / "model.safetensors.index.json";
  if (!data::IsThere(index)) return "model.safetensors";
  const auto json = nlohmann::json::parse(data::ReadFile(index), nullptr,
                                          /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    return "";  // whoever loads it says what is wrong
  for (const auto& [tensor, file] : json["weight_map"].items())
    if (file.is_string() && !data::IsThere(snapshot / file.get<std::string>()))
      return file.get<std::string>();
  return "";
}

// Returns a file of the part that the snapshot lacks; "" if it has all.
std::string MissingFile(const fs::path& snapshot, ModelPart part) {
  if (part == ModelPart::kAdapter) {
    for (const char* name : {"adapter_config.json", "adapter_model.safetensors"})
      if (!data::IsThere(snapshot / name)) return name;
    return "";
  }
  if (part == ModelPart::kTokenizer) {
    for (const fs::path& path : data::PathsIn(snapshot)) {
      const std::string name = path.filename().string();
      if (name == "tokenizer.json" || name == "tokenizer.model" || name.ends_with(".tiktoken"))
        return data::IsThere(path) ? "" : name;
    }
    return "tokenizer.json";
  }
  if (!data::IsThere(snapshot / "config.json")) return "config.json";
  return part == ModelPart::kWhole ? MissingWeights(snapshot) : "";
}

// Returns the texts for an Error, the first ones if there are many.
std::string Listed(const std::set<std::string>& texts) {
  std::vector<std::string> some(texts.begin(), texts.end());
  if (some.size() <= kListed) return fmt::format("{}", fmt::join(some, ", "));
  some.resize(kListed);
  return fmt::format("{} and {} more", fmt::join(some, ", "), texts.size() - kListed);
}

std::set<std::string> ConfigsOf(const DataParts& found) {
  std::set<std::string> configs;
  for (const DataPart& part : found.parts) configs.insert(part.config);
  return configs;
}

std::set<std::string> SplitsOf(const DataParts& found, const std::string& config) {
  std::set<std::string> splits;
  for (const DataPart& part : found.parts)
    if (part.config == config) splits.insert(part.split);
  return splits;
}

// What a name says of the part that is meant; "" where it says nothing.
struct Wanted {
  std::string config, split;
};

// Reads "main/test", "test" or "main".
Wanted WantedBy(const std::string& text, const DataParts& found) {
  const auto slash = text.rfind('/');
  if (slash != std::string::npos) return {text.substr(0, slash), text.substr(slash + 1)};
  return ConfigsOf(found).contains(text) ? Wanted{text, ""} : Wanted{"", text};
}

std::string UsualConfig(const DataParts& found, const std::string& id) {
  const auto configs = ConfigsOf(found);
  if (!found.usual_config.empty()) return found.usual_config;
  for (const char* usual : {"default", "main"})
    if (configs.contains(usual)) return usual;
  if (configs.size() == 1) return *configs.begin();
  Fail("{}: has several configurations: {}; name one: --problems {}:{}/SPLIT", id, Listed(configs),
       id, *configs.begin());
}

const DataPart& Chosen(const DataParts& found, const std::string& id, const Wanted& wanted,
                       std::string_view usual_split) {
  const std::string config = wanted.config.empty() ? UsualConfig(found, id) : wanted.config;
  const auto splits = SplitsOf(found, config);
  if (splits.empty())
    Fail("{}: has no configuration {}; it has {}", id, config, Listed(ConfigsOf(found)));
  std::string split = wanted.split.empty() ? std::string(usual_split) : wanted.split;
  if (!splits.contains(split)) {
    if (!wanted.split.empty())
      Fail("{}: the configuration {} has no split {}; it has {}", id, config, split,
           Listed(splits));
    if (splits.size() > 1)
      Fail("{}: the configuration {} has several splits: {}; name one: --problems {}:{}/{}", id,
           config, Listed(splits), id, config, *splits.begin());
    split = *splits.begin();
  }
  return *std::ranges::find_if(found.parts, [&](const DataPart& part) {
    return part.config == config && part.split == split;
  });
}

}  // namespace

fs::path FindModel(const std::string& text, ModelPart part) {
  const auto name = data::ParseHubName(text);
  if (!name || data::IsThere(text)) return text;
  fs::path snapshot = data::HubSnapshot(HubKind::kModel, *name);
  if (const std::string missing = MissingFile(snapshot, part); !missing.empty())
    Fail("{}: {} lacks {}; download it: {}", name->id, snapshot.string(), missing,
         data::HubDownloadCommand(HubKind::kModel, *name));
  return snapshot;
}

void FindProblems(ProblemSettings& problems, std::string_view split) {
  const std::string text = problems.file.string();
  const auto colon = text.find(':');
  const auto name = data::ParseHubName(text.substr(0, colon));
  if (!name || data::IsThere(problems.file)) return;
  const fs::path snapshot = data::HubSnapshot(HubKind::kDataset, *name);
  const DataParts found = DataPartsOf(snapshot);
  const std::string remedy = "download it: " + data::HubDownloadCommand(HubKind::kDataset, *name);
  if (found.parts.empty())
    Fail("{}: {} has no files of JSON lines, CSV or Parquet; {}", name->id, snapshot.string(),
         remedy);
  const Wanted wanted =
      colon == std::string::npos ? Wanted() : WantedBy(text.substr(colon + 1), found);
  const DataPart& part = Chosen(found, name->id, wanted, split);
  const auto missing = std::ranges::find_if_not(part.files, data::IsThere);
  if (part.files.empty() || missing != part.files.end())
    Fail("{}: {} lacks the files of {}/{}; {}", name->id, snapshot.string(), part.config,
         part.split, remedy);
  if (part.files.size() > 1) {
    std::vector<std::string> files;
    for (const fs::path& file : part.files) files.push_back(file.string());
    Fail("{}: {}/{} has {} files: {}; name one of them by --problems", name->id, part.config,
         part.split, files.size(), fmt::join(files, ", "));
  }
  problems.file = part.files[0];
  auto& dataset = problems.options.dataset;
  if (dataset.empty()) dataset = data::DatasetOnHub(name->id);
  spdlog::info("{}: the problems are {}/{}, {}{}", name->id, part.config, part.split,
               problems.file.string(),
               dataset.empty() ? "" : fmt::format(" (--dataset {})", dataset));
}

}  // namespace pivotal::experiments
