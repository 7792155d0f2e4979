// Apache-2.0.
#include "experiments/held_out.h"

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
    problems_ = data::LoadProblems(held_out.problems.file, held_out.problems.options);
    if (problems_.empty()) Fail("{}: no problem", held_out.problems.file.string());
    CheckAnswers(*oracle_, problems_, held_out.problems);
    CheckLengths(MakeQueries(problems_, model), held_out.max_new_tokens, model.phi().config());
  }
  const std::string metric = held_out.Metric();
  if (metric == "eval_accuracy" ? problems_.empty() : task_ == nullptr)
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
  if (!problems_.empty()) {
    SamplingSettings sampling;
    sampling.max_new_tokens = settings_.held_out.max_new_tokens;
    ranks_.Together([&] {
      if (ranks_.rank() == 0)
        measured["eval_accuracy"] =
            Evaluate(model_, problems_, *oracle_, sampling, 0, progress).Greedy().mean;
    });
  }
  return measured;
}

bool IsBetter(const std::string& metric, double value, double other) {
  return metric.ends_with("loss") ? value < other : value > other;
}

}  // namespace pivotal::experiments
