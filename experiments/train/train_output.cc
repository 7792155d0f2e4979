// Apache-2.0.
#include "experiments/train/train_output.h"

#include <spdlog/spdlog.h>

#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/folders.h"
#include "data/base/json_input.h"
#include "model/checkpoint.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kCheckpoint = "checkpoint-", kBest = "best-";

fs::path OfStep(const fs::path& run, std::string_view prefix, int64_t step) {
  return run / fmt::format("{}{}", prefix, step);
}

// Returns the folders <prefix><step> of a run by step.
std::map<int64_t, fs::path> Numbered(const fs::path& run, std::string_view prefix) {
  std::map<int64_t, fs::path> found;
  if (!data::Exists(run)) return found;
  for (const fs::path& path : data::PathsIn(run)) {
    const std::string name = path.filename().string();
    if (!name.starts_with(prefix)) continue;
    int64_t step = 0;
    const char* end = name.data() + name.size();
    const auto read = std::from_chars(name.data() + prefix.size(), end, step);
    if (read.ec == std::errc() && read.ptr == end) found[step] = path;
  }
  return found;
}

// Returns the SHA-256 of each file of a checkpoint, except for state.json.
json Checksums(const fs::path& folder) {
  json sums = json::object();
  for (const fs::path& path : data::FilesUnder(folder)) {
    const std::string name = path.lexically_relative(folder).string();
    if (name != "state.json") sums[name] = data::Sha256OfFile(path);
  }
  return sums;
}

std::string SettingsSum(const fs::path& run) { return data::Sha256OfFile(run / "train.toml"); }

// Writes the files of a checkpoint into `folder`.
void Fill(const fs::path& folder, const dpo::TrainState& state, const BestEvaluation& best,
          const SaveWeightsInto& weights, const model::FetchTensor& fetch, const fs::path& run) {
  weights(folder);
  data::CreateFolders(folder / "optimizer");
  model::SaveTensors(state.optimizer.tensors, folder / "optimizer", model::kDefaultShardBytes,
                     fetch);
  if (!state.reference.empty()) {
    data::CreateFolders(folder / "reference");
    model::SaveTensors(state.reference, folder / "reference");
  }
  json body = {{"step", state.step},
               {"tokens", state.tokens},
               {"examples", state.examples},
               {"seconds", state.seconds},
               {"best",
                {{"step", best.step},
                 {"value", best.value},
                 {"since", best.since},
                 {"evaluated", best.evaluated}}},
               {"train_toml_sha256", SettingsSum(run)},
               {"files", Checksums(folder)}};
  const std::string sum = data::Sha256OfText(body.dump());
  data::WriteFile(folder / "state.json",
                  json{{"state", std::move(body)}, {"sha256", sum}}.dump(1) + "\n");
}

// Returns the part "state" of state.json. Throws Error if a file of the checkpoint has changed.
json ReadState(const fs::path& folder) {
  const json file = json::parse(data::ReadFile(folder / "state.json"));
  const json& body = file.at("state");
  if (data::Sha256OfText(body.dump()) != file.at("sha256").get<std::string>())
    Fail("state.json has changed");
  for (const auto& [name, sum] : body.at("files").items())
    if (data::Sha256OfFile(folder / name) != sum.get<std::string>()) Fail("{} has changed", name);
  return body;
}

// Lets `fill` write into <folder>.tmp, then renames it to `folder`. Throws Error if that fails, and
// removes what was written.
void WriteFolder(const fs::path& folder, const SaveWeightsInto& fill) {
  const fs::path partial = folder.string() + ".tmp";
  try {
    data::RemoveAll(partial);
    data::CreateFolders(partial);
    fill(partial);
    data::RemoveAll(folder);  // a damaged folder of the same name
    data::Rename(partial, folder);
  } catch (const std::exception& error) {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
    Fail("{}: cannot be written: {}", folder.string(), error.what());
  }
}

// Removes all folders <prefix><step> of a run but the `keep` with the largest steps.
void KeepNewest(const fs::path& run, std::string_view prefix, int64_t keep) {
  auto all = Numbered(run, prefix);
  for (; std::ssize(all) > keep; all.erase(all.begin())) data::RemoveAll(all.begin()->second);
}

// Removes the lines of `path` from the first one that is incomplete or of a step after `step`.
void CutBack(const fs::path& path, int64_t step) {
  std::ifstream in(path);
  std::string kept, line;
  while (std::getline(in, line)) {
    const ordered_json object = ordered_json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || object.value("step", step + 1) > step) break;
    kept += line + "\n";
  }
  data::WriteFile(path, kept);
}

}  // namespace

void SaveTrainCheckpoint(const dpo::TrainState& state, const BestEvaluation& best,
                         const SaveWeightsInto& weights, const model::FetchTensor& fetch,
                         const fs::path& run, int64_t keep) {
  WriteFolder(OfStep(run, kCheckpoint, state.step),
              [&](const fs::path& folder) { Fill(folder, state, best, weights, fetch, run); });
  KeepNewest(run, kCheckpoint, keep);
}

std::optional<TrainCheckpoint> FindTrainCheckpoint(const fs::path& run) {
  const auto all = Numbered(run, kCheckpoint);
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    const fs::path& folder = it->second;
    json body;
    try {
      body = ReadState(folder);
    } catch (const std::exception& error) {
      spdlog::warn("{}: damaged; using the checkpoint before it: {}", folder.string(),
                   error.what());
      continue;
    }
    if (body.at("train_toml_sha256") != SettingsSum(run))
      Fail("{}: has changed since {} was written; undo the change, or start a new run",
           (run / "train.toml").string(), folder.string());
    const json& best = body.at("best");
    const bool follows = data::Exists(folder / "reference");
    return TrainCheckpoint{
        folder,
        {body.at("step"),
         body.at("tokens"),
         body.at("examples"),
         body.at("seconds"),
         {model::LoadTensors(folder / "optimizer"), {}},
         follows ? model::LoadTensors(folder / "reference") : model::ParameterMap()},
        {best.at("step"), best.at("value"), best.at("since"), best.at("evaluated")}};
  }
  if (!all.empty()) Fail("{}: every checkpoint is damaged; start a new run", run.string());
  return std::nullopt;
}

int64_t CountCheckpoints(const fs::path& run) { return std::ssize(Numbered(run, kCheckpoint)); }

std::string NewestCheckpoint(const fs::path& run) {
  const auto all = Numbered(run, kCheckpoint);
  return all.empty() ? "" : all.rbegin()->second.filename().string();
}

void SaveBest(int64_t step, const SaveWeightsInto& weights, const fs::path& run) {
  WriteFolder(OfStep(run, kBest, step), weights);
  KeepNewest(run, kBest, 1);
}

fs::path BestFolder(const fs::path& run, int64_t step) { return OfStep(run, kBest, step); }

TrainLog::TrainLog(const fs::path& path, int64_t step, const fs::path& tensorboard) : file_(path) {
  CutBack(path, step);
  if (!tensorboard.empty()) events_.emplace(tensorboard, step + 1);
}

void TrainLog::Add(const StepLog& log) {
  ordered_json line = {{"step", log.step},           {"epoch", log.epoch},
                       {"loss", log.loss},           {"learning_rate", log.learning_rate},
                       {"grad_norm", log.grad_norm}, {"seconds", log.seconds},
                       {"tokens", log.tokens}};
  for (const auto& [name, value] : log.metrics) line[name] = value;
  Write(line);
}

void TrainLog::Add(int64_t step, const std::map<std::string, double>& measured) {
  ordered_json line = {{"step", step}};
  for (const auto& [name, value] : measured) line[name] = value;
  Write(line);
}

void TrainLog::Write(const ordered_json& line) {
  file_.Add(line.dump() + "\n");
  if (events_) events_->Add(line);
}

void TrainLog::Finish() {
  file_.Finish();
  if (events_) events_->Finish();
}

ordered_json TrainingSeries(const std::string& name, const fs::path& folder) {
  std::map<std::string, ordered_json> series;
  data::JsonLineReader reader(folder / "log.jsonl");
  json line;
  while (reader.Next(line)) {
    if (!line.contains("step")) continue;
    for (const auto& [key, value] : line.items())
      if (key != "step" && value.is_number()) series[key].push_back({line["step"], value});
  }
  auto list = ordered_json::array();
  for (auto& [key, points] : series) list.push_back({{"name", key}, {"points", std::move(points)}});
  return {{"name", name}, {"series", list}};
}

}  // namespace pivotal::experiments
