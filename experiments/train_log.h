// Apache-2.0. log.jsonl of a training run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "dpo/trainer.h"

namespace pivotal::experiments {

// A JSON object a line, with its step; flushed each time, so that a killed run keeps what it logged.
class TrainLog {
 public:
  // Goes on after `step`: lines of later steps, and a line that was cut short, are removed.
  TrainLog(std::filesystem::path path, int64_t step);
  // Throw Error if the line cannot be written.
  void Add(const dpo::StepLog& log);
  void Add(int64_t step, const std::map<std::string, double>& measured);

 private:
  void Write(const std::string& line);

  std::filesystem::path path_;
  std::ofstream file_;
};

// The numbers of FOLDER/log.jsonl as a report's page shows them: {"name", "series"} (experiments/report/DATA.md).
nlohmann::ordered_json TrainingSeries(const std::string& name, const std::filesystem::path& folder);

}  // namespace pivotal::experiments
