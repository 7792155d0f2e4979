// Apache-2.0.
#include "experiments/ablation/plan_power.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "experiments/ablation/compare_arms.h"
#include "experiments/ablation/plan.h"
#include "experiments/ablation/power.h"

namespace pivotal::experiments {
namespace {

// What is assumed of a change before anything is measured: about the most that the sampled changes
// of the shipped recipes deviate, by 1 to 4 points from seed to seed and 4 to 16 from problem to
// problem. What is left is what samples add.
constexpr double kSeedDeviation = 0.04, kProblemDeviation = 0.15;
// Mean of p (1 - p) over problems, where p is the probability of a right response: 0.25 in the
// tiny world before training, 0.1 after it. Two means of samples are subtracted.
constexpr double kResponseVariance = 0.15;

CellVariance AssumedVariance(const EvalOptions& eval) {
  return {kSeedDeviation * kSeedDeviation, kProblemDeviation * kProblemDeviation,
          2 * kResponseVariance / eval.samples};
}

// Collects the evaluations that are done, and the number of problems of each set.
class DoneEvals : public StepVisitor {
 public:
  DoneEvals(const Recipe& recipe, AblationWalk& walk) : recipe_(recipe), walk_(walk) {}

  void BeginArm(const Arm& arm, uint64_t seed) override {
    arm_ = arm.name;
    seed_ = seed;
  }
  void Search(const Step&, const RunConfig&) override {}
  void Pairs(const Step&, const std::filesystem::path&, const Stage&, uint64_t) override {}
  void Train(const Step&, const TrainSettings&) override {}
  void Eval(const Step& step, const ModelSettings&, const EvalSet& set,
            const SamplingSettings&) override {
    problems[set.name] = static_cast<int>(set.problem_count);
    if (step.done) runs.push_back({arm_, set.name, seed_, walk_.Scores(step, set), {}});
  }

  std::vector<ArmRun> runs;
  std::map<std::string, int> problems;  // by set

 private:
  const Recipe& recipe_;
  AblationWalk& walk_;
  std::string arm_;
  uint64_t seed_ = 0;
};

// The mean variance of the changes of the arms that were measured.
struct Measured {
  CellVariance variance;
  int arms = 0;
};

Measured MeasuredVariance(const Recipe& recipe, const std::string& set,
                          const std::vector<ArmRun>& runs) {
  Measured measured;
  for (const Arm& arm : recipe.arms) {
    if (arm.name == recipe.baseline) continue;
    std::vector<const ArmRun*> base, own;  // of the same seeds
    for (const ArmRun& before : runs)
      for (const ArmRun& after : runs)
        if (before.set == set && after.set == set && before.seed == after.seed &&
            before.arm == recipe.baseline && after.arm == arm.name) {
          base.push_back(&before);
          own.push_back(&after);
        }
    if (own.size() < 2) continue;
    const CellVariance variance = VarianceOfChange(base, own);
    ++measured.arms;
    measured.variance.seeds += (variance.seeds - measured.variance.seeds) / measured.arms;
    measured.variance.problems += (variance.problems - measured.variance.problems) / measured.arms;
    measured.variance.rest += (variance.rest - measured.variance.rest) / measured.arms;
  }
  return measured;
}

double Points(double variance) { return 100 * std::sqrt(std::max(variance, 0.0)); }

}  // namespace

std::string PowerText(const Recipe& recipe, const std::filesystem::path& steps) {
  if (recipe.eval.samples == 0) return "";
  AblationWalk walk(recipe, steps);
  DoneEvals evals(recipe, walk);
  walk.Run(evals);
  const int seeds = static_cast<int>(recipe.seeds.size());
  const auto comparisons = static_cast<double>(CountComparisons(recipe));
  std::string text = fmt::format(
      "\nThe smallest change of the sampled accuracy from \"{}\" that is found with a probability "
      "of 80% (at 5%, {} seed{}), and in brackets after Holm's correction for {} changes:\n",
      recipe.baseline, seeds, seeds > 1 ? "s" : "", comparisons);
  for (const EvalSet& set : recipe.sets) {
    const Measured measured = MeasuredVariance(recipe, set.name, evals.runs);
    const CellVariance variance =
        measured.arms > 0 ? measured.variance : AssumedVariance(recipe.eval);
    const int problems = evals.problems[set.name];
    const std::string source =
        measured.arms > 0
            ? fmt::format("measured on {} arm{}", measured.arms, measured.arms > 1 ? "s" : "")
            : "assumed: no arm is done with two seeds";
    if (std::max({variance.seeds, variance.problems, variance.rest}) <= 0) {
      text += fmt::format(
          "  {}: a change is the same on every problem there, which tells nothing ({})\n", set.name,
          source);
      continue;
    }
    const auto points = [&](double level) {
      const double change = 100 * SmallestChange(variance, seeds, problems, level);
      return change > 100 ? "over 100" : fmt::format("{:.1f}", change);
    };
    text += fmt::format(
        "  {}: {} points ({}), on {} problems with {} samples; a change deviates by {:.1f} points "
        "from seed to seed, {:.1f} from problem to problem, {:.1f} beside these ({})\n",
        set.name, points(0.05), points(0.05 / comparisons), problems, recipe.eval.samples,
        Points(variance.seeds), Points(variance.problems), Points(variance.rest), source);
  }
  if (seeds == 1) text += "One seed does not tell what another would change; take five.\n";
  return text;
}

}  // namespace pivotal::experiments
