// Apache-2.0.
#include "experiments/train_checkpoint.h"

#include <spdlog/spdlog.h>

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/file_sink.h"
#include "model/checkpoint.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kCheckpoint = "checkpoint-", kBest = "best-";

fs::path OfStep(const fs::path& run, std::string_view prefix, int64_t step) {
  return run / fmt::format("{}{}", prefix, step);
}

// Folders <prefix><step> of a run by their step.
std::map<int64_t, fs::path> Numbered(const fs::path& run, std::string_view prefix) {
  std::map<int64_t, fs::path> found;
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix)) continue;
    int64_t step = 0;
    const char* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + prefix.size(), end, step);
    if (read.ec == std::errc() && read.ptr == end) found[step] = entry.path();
  }
  return found;
}

json Checksums(const fs::path& folder) {
  json sums = json::object();
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = fs::relative(entry.path(), folder).string();
    if (entry.is_regular_file() && name != "state.json")
      sums[name] = data::Sha256OfFile(entry.path());
  }
  return sums;
}

std::string SettingsSum(const fs::path& run) { return data::Sha256OfFile(run / "train.toml"); }

void Fill(const fs::path& folder, const dpo::TrainState& state, const Best& best,
          const SaveWeightsInto& weights, const fs::path& run) {
  weights(folder);
  fs::create_directory(folder / "optimizer");
  model::SaveTensors(state.optimizer, folder / "optimizer");
  json body = {{"step", state.step},
               {"tokens", state.tokens},
               {"examples", state.examples},
               {"seconds", state.seconds},
               {"best", {{"step", best.step}, {"value", best.value}, {"since", best.since}, {"evaluated", best.evaluated}}},
               {"train_toml_sha256", SettingsSum(run)},
               {"files", Checksums(folder)}};
  const std::string sum = data::Sha256OfText(body.dump());
  data::FileSink file(folder / "state.json");
  file.Write(json{{"state", std::move(body)}, {"sha256", sum}}.dump(1) + "\n");
  file.Commit();
}

// The part "state" of state.json, once every file is found to be as it was written.
json ReadWhole(const fs::path& folder) {
  const json file = json::parse(data::ReadFile(folder / "state.json"));
  const json& body = file.at("state");
  if (data::Sha256OfText(body.dump()) != file.at("sha256")) Fail("state.json has changed");
  for (const auto& [name, sum] : body.at("files").items())
    if (data::Sha256OfFile(folder / name) != sum) Fail("{} has changed", name);
  return body;
}

}  // namespace

namespace {

// Fills `folder` aside and renames it. On an error what was written is removed.
void WriteFolder(const fs::path& folder, const SaveWeightsInto& fill) {
  const fs::path partial = folder.string() + ".tmp";
  try {
    fs::remove_all(partial);
    fs::create_directory(partial);
    fill(partial);
    fs::remove_all(folder);  // a damaged one
    fs::rename(partial, folder);
  } catch (const std::exception& error) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    Fail("{}: cannot be written: {}", folder.string(), error.what());
  }
}

void KeepNewest(const fs::path& run, std::string_view prefix, int64_t keep) {
  auto all = Numbered(run, prefix);
  for (; std::ssize(all) > keep; all.erase(all.begin())) fs::remove_all(all.begin()->second);
}

}  // namespace

void SaveTrainCheckpoint(const dpo::TrainState& state, const Best& best,
                         const SaveWeightsInto& weights, const fs::path& run, int64_t keep) {
  WriteFolder(OfStep(run, kCheckpoint, state.step), [&](const fs::path& folder) {
    Fill(folder, state, best, weights, run);
  });
  KeepNewest(run, kCheckpoint, keep);
}

void SaveBest(int64_t step, const SaveWeightsInto& weights, const fs::path& run) {
  WriteFolder(OfStep(run, kBest, step), weights);
  KeepNewest(run, kBest, 1);
}

fs::path BestFolder(const fs::path& run, int64_t step) { return OfStep(run, kBest, step); }

std::optional<TrainCheckpoint> FindTrainCheckpoint(const fs::path& run) {
  const auto all = Numbered(run, kCheckpoint);
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    const fs::path& folder = it->second;
    json body;
    try {
      body = ReadWhole(folder);
    } catch (const std::exception& error) {
      spdlog::warn("{}: damaged, the one before is used: {}", folder.string(), error.what());
      continue;
    }
    if (body.at("train_toml_sha256") != SettingsSum(run))
      Fail("{}: has changed since {} was written; undo that, or start a new run",
           (run / "train.toml").string(), folder.string());
    const json& best = body.at("best");
    return TrainCheckpoint{folder,
                           {body.at("step"), body.at("tokens"), body.at("examples"), body.at("seconds"),
                            model::LoadTensors(folder / "optimizer")},
                           {best.at("step"), best.at("value"), best.at("since"),
                            best.at("evaluated")}};
  }
  if (!all.empty()) Fail("{}: every checkpoint is damaged; start a new run", run.string());
  return std::nullopt;
}

}  // namespace pivotal::experiments
