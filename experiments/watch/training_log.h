// Apache-2.0. The log of a training, read again and again while it grows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pivotal::experiments {

// Follows OUTPUT/log.jsonl, which another process appends to.
class FollowedLog {
 public:
  using Points = std::vector<std::pair<int64_t, double>>;  // step and value, by step

  explicit FollowedLog(std::filesystem::path file) : file_(std::move(file)) {}

  // Reads the lines that are new, and all of them if the file was replaced: a training that resumes
  // cuts it back. A last line without an end is not read yet. Lines that cannot be read are skipped
  // and counted.
  void Update();

  // The numbers of the log by their names.
  const std::map<std::string, Points>& series() const { return series_; }
  int64_t last_step() const { return last_step_; }
  int64_t bad_lines() const { return bad_lines_; }
  // Returns the last value of a series, or `otherwise` if there is none.
  double Last(const std::string& name, double otherwise) const;

 private:
  void Add(const std::string& line);

  std::filesystem::path file_;
  uint64_t inode_ = 0;
  int64_t read_ = 0;  // bytes
  std::map<std::string, Points> series_;
  int64_t last_step_ = 0, bad_lines_ = 0;
};

// Returns up to `most` of the points, evenly spread; the first and the last are among them.
FollowedLog::Points Thinned(const FollowedLog::Points& points, std::size_t most);

}  // namespace pivotal::experiments
