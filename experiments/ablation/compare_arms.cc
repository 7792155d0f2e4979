// Apache-2.0.
#include "experiments/ablation/compare_arms.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

namespace pivotal::experiments {
namespace {

using Runs = std::vector<const ArmRun*>;  // runs of one arm and set, one for each seed

// Returns value(score) of each problem under each seed.
template <typename Value>
SeedTable TableOf(const Runs& runs, Value value) {
  SeedTable table;
  for (const ArmRun* run : runs) {
    table.emplace_back();
    for (const ProblemScore& score : run->accuracy.problems) table.back().push_back(value(score));
  }
  return table;
}

double SumOf(const SeedTable& table) {
  double sum = 0;
  for (const auto& row : table) sum += std::accumulate(row.begin(), row.end(), 0.0);
  return sum;
}

// Returns a table whose mean is the ratio of the sums of two tables, and whose cells deviate from
// it as much as they move the ratio. All cells are 0 if the denominators are.
SeedTable RatioTable(SeedTable numerators, const SeedTable& denominators) {
  const double sum = SumOf(denominators), ratio = sum > 0 ? SumOf(numerators) / sum : 0;
  for (std::size_t s = 0; s < numerators.size(); ++s) {
    const double cells =
        static_cast<double>(numerators.size()) * static_cast<double>(numerators[s].size());
    for (std::size_t i = 0; i < numerators[s].size(); ++i) {
      const double off = numerators[s][i] - ratio * denominators[s][i];
      numerators[s][i] = sum > 0 ? ratio + off * cells / sum : 0;
    }
  }
  return numerators;
}

SeedTable Difference(const SeedTable& from, SeedTable to) {
  for (std::size_t s = 0; s < to.size(); ++s)
    for (std::size_t i = 0; i < to[s].size(); ++i) to[s][i] -= from[s][i];
  return to;
}

// Tests of the means of one recipe's tables. Seeds do not count where nothing was trained: there
// they are more responses of the same model. `step`: the least that a cell can change.
class Tests {
 public:
  Tests(std::size_t seeds, std::size_t problems)
      : seeds_(static_cast<int>(seeds), static_cast<int>(problems)),
        one_(1, static_cast<int>(problems)) {}

  MeanInterval Level(const SeedTable& table, double step, bool trained) const {
    return Test(trained).Interval(MeanOf(table, step, trained), 0, 1);
  }
  ArmChange Change(const SeedTable& from, const SeedTable& to, double step, bool trained) const {
    const TableMean mean = MeanOf(Difference(from, to), step, trained);
    return {Test(trained).Interval(mean, -1, 1), Test(trained).PValue(mean)};
  }

 private:
  const MeanTest& Test(bool trained) const { return trained ? seeds_ : one_; }
  static TableMean MeanOf(const SeedTable& table, double step, bool trained) {
    if (trained) return MeanOfTable(table, step);
    const auto seeds = static_cast<double>(table.size());
    std::vector<double> means(table.front().size());
    for (const auto& row : table)
      for (std::size_t i = 0; i < row.size(); ++i) means[i] += row[i] / seeds;
    return MeanOfTable({means}, step / seeds);
  }

  MeanTest seeds_, one_;
};

// [seed][problem], see ArmScore.
struct Tables {
  SeedTable sampled, greedy, answered, right;

  explicit Tables(const Runs& runs)
      : sampled(TableOf(runs, [](const ProblemScore& p) { return p.Mean(); })),
        greedy(TableOf(runs, [](const ProblemScore& p) { return p.greedy ? 1.0 : 0.0; })) {
    const auto samples = TableOf(runs, [](const ProblemScore& p) { return p.samples; });
    const auto answers =
        TableOf(runs, [](const ProblemScore& p) { return p.samples - p.refusals; });
    answered = RatioTable(answers, samples);
    right =
        RatioTable(TableOf(runs, [](const ProblemScore& p) { return p.RightAnswers(); }), answers);
  }
};

ArmCost MeanCost(const Runs& runs) {
  ArmCost mean;
  const auto seeds = static_cast<double>(runs.size());
  for (const ArmRun* run : runs) {
    mean.pairs += run->cost.pairs / seeds;
    mean.generated_tokens += run->cost.generated_tokens / seeds;
    mean.trained_tokens += run->cost.trained_tokens / seeds;
    mean.seconds += run->cost.seconds / seeds;
  }
  return mean;
}

// Returns whether anything was trained; a search may have found no pairs.
bool IsTrained(const Runs& runs) {
  return std::ranges::any_of(runs, [](const ArmRun* run) { return run->cost.pairs > 0; });
}

void AdjustByHolm(const std::string& baseline, std::vector<ArmScore>& scores) {
  std::vector<double> p;
  for (const ArmScore& score : scores)
    if (score.arm != baseline) p.push_back(score.sampled_change.p);
  const auto adjusted = HolmAdjusted(p);
  auto next = adjusted.begin();
  for (ArmScore& score : scores)
    if (score.arm != baseline) score.holm_p = *next++;
}

}  // namespace

AblationResult CompareArms(const Recipe& recipe, const std::vector<ArmRun>& all) {
  AblationResult result;
  const bool refuses = !recipe.eval.refusal.empty();
  for (const EvalSet& set : recipe.sets) {
    const auto runs_of = [&](const std::string& arm) {
      Runs runs;
      for (const ArmRun& run : all)
        if (run.arm == arm && run.set == set.name) runs.push_back(&run);
      return runs;
    };
    const Runs base_runs = runs_of(recipe.baseline);
    const Tables base(base_runs);
    const Tests tests(base.sampled.size(), base.sampled.front().size());
    const bool base_trained = IsTrained(base_runs);
    const double response = 1.0 / std::max(recipe.eval.samples, 1);
    for (const Arm& arm : recipe.arms) {
      const Runs runs = runs_of(arm.name);
      const Tables tables(runs);
      ArmScore score{.arm = arm.name, .set = set.name};
      const bool trained = IsTrained(runs), is_base = arm.name == recipe.baseline;
      score.sampled = tests.Level(tables.sampled, response, trained);
      score.greedy = tests.Level(tables.greedy, 1, trained);
      if (refuses) {
        score.answered = tests.Level(tables.answered, response, trained);
        score.right_of_answered = tests.Level(tables.right, response, trained);
      }
      const auto change = [&](const SeedTable& from, const SeedTable& to, double step) {
        return is_base ? ArmChange() : tests.Change(from, to, step, trained || base_trained);
      };
      score.sampled_change = change(base.sampled, tables.sampled, response);
      score.greedy_change = change(base.greedy, tables.greedy, 1);
      if (refuses) score.right_change = change(base.right, tables.right, response);
      for (const auto& row : is_base ? tables.sampled : Difference(base.sampled, tables.sampled))
        score.by_seed.push_back(MeanOfTable({row}).mean);
      score.cost = MeanCost(runs);
      result.scores.push_back(std::move(score));
    }
  }
  AdjustByHolm(recipe.baseline, result.scores);
  result.comparisons = CountComparisons(recipe);
  return result;
}

CellVariance VarianceOfChange(const Runs& base, const Runs& arm) {
  const SeedTable changes = Difference(Tables(base).sampled, Tables(arm).sampled);
  return VarianceOf(MeanOfTable(changes).squares, static_cast<int>(changes.size()),
                    static_cast<int>(changes.front().size()));
}

int64_t CountComparisons(const Recipe& recipe) {
  return std::ssize(recipe.sets) * (std::ssize(recipe.arms) - 1);
}

}  // namespace pivotal::experiments
