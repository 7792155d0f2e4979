// Apache-2.0. Event files, which TensorBoard shows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "experiments/train/log_file.h"

namespace pivotal::experiments {

// Returns the CRC-32C of RFC 3720.
uint32_t Crc32c(std::string_view bytes);

// Returns the tag of a number of log.jsonl: "eval/loss" for "eval_loss", "train/loss" for "loss",
// as the TensorBoardCallback of transformers names them. TRL calls "tokens" "num_tokens".
std::string EventTag(std::string_view name);

// Writes the numbers of log.jsonl into a file events.out.tfevents.* of a folder. Each process
// begins a file of its own, whose name sorts behind those that are there, as TensorBoard reads
// them; one that a kill has cut off loses its last record alone. The file begins with a
// SessionLog.START, at which TensorBoard drops the steps from `first_step` on that earlier files
// hold. A folder that cannot be written causes a warning only. The format is in data/FORMATS.md.
class EventLog {
 public:
  EventLog(const std::filesystem::path& folder, int64_t first_step);
  // Adds the numbers of a line of log.jsonl, each under its tag at the line's "step".
  void Add(const nlohmann::ordered_json& line);
  void Finish() { file_.Finish(); }

 private:
  LogFile file_;
};

}  // namespace pivotal::experiments
