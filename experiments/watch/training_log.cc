// Apache-2.0.
#include "experiments/watch/training_log.h"

#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "data/base/json_input.h"
#include "pivotal/error.h"

namespace pivotal::experiments {

void FollowedLog::Update() {
  struct stat info {};
  if (::stat(file_.c_str(), &info) != 0) return;
  if (info.st_ino != inode_ || info.st_size < read_) {
    series_.clear();
    read_ = last_step_ = bad_lines_ = 0;
    inode_ = info.st_ino;
  }
  std::ifstream in(file_, std::ios::binary);
  in.seekg(read_);
  for (std::string line; std::getline(in, line) && !in.eof();) {
    read_ += static_cast<int64_t>(line.size()) + 1;
    if (!line.empty()) Add(line);
  }
}

void FollowedLog::Add(const std::string& line) {
  try {
    const nlohmann::json json = data::ParseJsonObject(line, file_.string());
    const int64_t step = data::CheckedInteger(data::RequireKey(json, "step", file_.string()), 0,
                                              int64_t{1} << 62, "step", file_.string());
    for (const auto& [name, value] : json.items()) {
      if (name == "step" || !value.is_number()) continue;
      Points& points = series_[name];
      while (!points.empty() && points.back().first >= step) points.pop_back();  // written again
      points.emplace_back(step, value.get<double>());
    }
    last_step_ = step;
  } catch (const Error&) {
    ++bad_lines_;
  }
}

double FollowedLog::Last(const std::string& name, double otherwise) const {
  const auto found = series_.find(name);
  return found == series_.end() || found->second.empty() ? otherwise : found->second.back().second;
}

FollowedLog::Points Thinned(const FollowedLog::Points& points, std::size_t most) {
  if (points.size() <= most || most < 2) return points;
  FollowedLog::Points thin;
  for (std::size_t i = 0; i < most; ++i)
    thin.push_back(points[i * (points.size() - 1) / (most - 1)]);
  return thin;
}

}  // namespace pivotal::experiments
