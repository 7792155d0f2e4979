// Apache-2.0.
#include "experiments/train_log.h"

#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"

namespace pivotal::experiments {
namespace {

using Json = nlohmann::ordered_json;

void CutBack(const std::filesystem::path& path, int64_t step) {
  std::ifstream in(path);
  std::string kept, line;
  while (std::getline(in, line)) {
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || object.value("step", step + 1) > step) break;
    kept += line + "\n";
  }
  data::FileSink file(path);
  file.Write(kept);
  file.Commit();
}

}  // namespace

TrainLog::TrainLog(std::filesystem::path path, int64_t step) : path_(std::move(path)) {
  CutBack(path_, step);
  file_.open(path_, std::ios::app);
}

void TrainLog::Add(const dpo::StepLog& log) {
  Json line = {{"step", log.step},
               {"epoch", log.epoch},
               {"loss", log.loss},
               {"learning_rate", log.learning_rate},
               {"grad_norm", log.grad_norm},
               {"seconds", log.seconds},
               {"tokens", log.tokens}};
  for (const auto& [name, value] : log.metrics) line[name] = value;
  Write(line.dump());
}

void TrainLog::Add(int64_t step, const std::map<std::string, double>& measured) {
  Json line = {{"step", step}};
  for (const auto& [name, value] : measured) line[name] = value;
  Write(line.dump());
}

void TrainLog::Write(const std::string& line) {
  file_ << line << std::endl;
  if (!file_) Fail("{}: cannot be written; is the disk full?", path_.string());
}

nlohmann::ordered_json TrainingSeries(const std::string& name, const std::filesystem::path& folder) {
  std::map<std::string, nlohmann::ordered_json> series;
  data::JsonLineReader reader(folder / "log.jsonl");
  nlohmann::json line;
  while (reader.Next(line)) {
    if (!line.contains("step")) continue;
    for (const auto& [key, value] : line.items())
      if (key != "step" && value.is_number()) series[key].push_back({line["step"], value});
  }
  auto list = nlohmann::ordered_json::array();
  for (auto& [key, points] : series) list.push_back({{"name", key}, {"points", std::move(points)}});
  return {{"name", name}, {"series", list}};
}

}  // namespace pivotal::experiments
