// Apache-2.0.
#include "experiments/ablation_estimate.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>

#include "data/error.h"
#include "data/file_sink.h"
#include "experiments/ablation.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "pivotal-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) Fail("{}: {}", name, data::ErrnoText(errno));
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// For each strategy an arm of one stage, an epoch on random tokens, and one set to evaluate on.
Recipe SmallCopy(const Recipe& recipe, int problems) {
  const auto limit = [&](ProblemSettings& settings) {
    auto& all = settings.options.limit;
    all = std::min(all > 0 ? all : SIZE_MAX, static_cast<std::size_t>(problems));
  };
  Recipe small = recipe;
  small.seeds.resize(1);
  small.sets.resize(1);
  limit(small.sets[0].problems);
  small.arms.clear();
  std::set<std::string> strategies;
  for (const Arm& arm : recipe.arms) {
    for (const Stage& stage : arm.stages) {
      if (stage.train.sft || !strategies.insert(stage.run.strategy).second) continue;
      Stage only = stage;
      limit(only.run.problems);
      PairsPart part;
      part.source = "random";
      part.count = problems;
      only.parts = {part};
      only.train.options.epochs = 1;
      small.arms.push_back({fmt::format("arm {}", small.arms.size()), {only}});
    }
  }
  if (small.arms.empty()) small.arms.push_back({"as it is", {}});
  small.baseline = small.arms[0].name;
  return small;
}

void AddRates(const std::vector<Step>& plan, std::map<std::string, double>& rates) {
  std::map<std::string, std::pair<double, double>> sums;  // seconds, work
  for (const Step& step : plan) {
    if (!step.done) continue;
    sums[step.sort].first += step.seconds;
    sums[step.sort].second += step.work;
  }
  for (const auto& [sort, sum] : sums)
    if (sum.second > 0) rates.emplace(sort, sum.first / sum.second);
}

}  // namespace

std::map<std::string, double> SecondsPerWork(const Recipe& recipe, const std::vector<Step>& plan, int problems,
                                             Progress& progress) {
  std::map<std::string, double> rates;
  AddRates(plan, rates);
  const bool known = std::ranges::all_of(plan, [&](const Step& step) { return step.done || rates.contains(step.sort); });
  if (known || problems <= 0) return rates;
  spdlog::info("trying each kind of step on {} problems, to tell how long they take", problems);
  const TemporaryFolder folder;
  const Recipe small = SmallCopy(recipe, problems);
  RunAblation(small, folder.path() / "steps", folder.path() / "output", progress);
  AddRates(PlanAblation(small, folder.path() / "steps"), rates);
  return rates;
}

}  // namespace pivotal::experiments
