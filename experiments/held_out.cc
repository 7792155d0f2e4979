// Apache-2.0.
#include "experiments/held_out.h"

#include <algorithm>

#include "data/error.h"
#include "experiments/accuracy.h"

namespace pivotal::experiments {

HeldOut::HeldOut(const TrainSettings& settings, const LoadedModel& model,
                 const std::string& weights_sha256, Progress& progress, dpo::Ranks& ranks)
    : settings_(settings), model_(model), ranks_(ranks) {
  const HeldOutSettings& held_out = settings.held_out;
  if (!held_out.data.empty()) {
    task_ = MakeTrainTask(settings, held_out.data, model, weights_sha256, progress, ranks);
    if (task_->objective->size() == 0) Fail("{}: no example", held_out.data.string());
  }
  if (!held_out.problems.file.empty()) {
    oracle_ = pts::MakeOracle(held_out.problems.oracle, held_out.problems.oracle_options);
    const auto all = data::LoadProblems(held_out.problems.file, held_out.problems.options);
    if (all.empty()) Fail("{}: no problem", held_out.problems.file.string());
    CheckAnswers(*oracle_, all, held_out.problems);
    CheckLengths(MakeQueries(all, model), held_out.max_new_tokens, model.phi().config());
    problem_count_ = std::ssize(all);
    for (int64_t i = ranks.rank(); i < problem_count_; i += ranks.size()) problems_.push_back(all[i]);
  }
  const std::string metric = held_out.Metric();
  if (metric == "eval_accuracy" ? problem_count_ == 0 : task_ == nullptr)
    Fail("--eval-metric {} needs {}", metric,
         metric == "eval_accuracy" ? "--eval-problems" : "--eval-data");
  if (settings.sft && metric.starts_with("eval_rewards"))
    Fail("--eval-metric {} is for preference losses, not for sft", metric);
}

std::map<std::string, double> HeldOut::Measure(Progress& progress) const {
  std::map<std::string, double> measured;
  if (task_ != nullptr) {
    for (const auto& [name, value] :
         dpo::Measure(*task_->objective, settings_.options.batch_size, progress, ranks_))
      measured["eval_" + name] = value;
  }
  if (problem_count_ > 0) {
    SamplingSettings sampling;
    sampling.max_new_tokens = settings_.held_out.max_new_tokens;
    int64_t solved = 0;
    ranks_.Together([&] {
      const Accuracy accuracy = Evaluate(model_, problems_, *oracle_, sampling, {.samples = 0}, progress);
      solved = std::ranges::count(accuracy.problems, true, &ProblemScore::greedy);
    });
    measured["eval_accuracy"] =
        ranks_.Sum(static_cast<double>(solved)) / static_cast<double>(problem_count_);
  }
  return measured;
}

bool IsBetter(const std::string& metric, double value, double other) {
  return metric.ends_with("loss") ? value < other : value > other;
}

}  // namespace pivotal::experiments
