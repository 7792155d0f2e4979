// Apache-2.0.
#include "experiments/ablation/results.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "data/base/folders.h"
#include "experiments/report/report_page.h"
#include "experiments/train/train_output.h"
#include "pivotal/version.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;
using Runs = std::vector<const ArmRun*>;  // runs of one arm and set, one for each seed

// Numbers over all seeds: [problem], except by_seed.
struct Scores {
  std::vector<double> sampled, greedy;  // mean scores
  std::vector<double> right, answered;  // numbers of responses
  std::vector<double> by_seed;          // [seed]: sampled accuracy
};

Scores OverSeeds(const Runs& runs) {
  Scores scores;
  const auto seeds = static_cast<double>(runs.size());
  const std::size_t problems = runs.front()->accuracy.problems.size();
  for (auto* values : {&scores.sampled, &scores.greedy, &scores.right, &scores.answered})
    values->resize(problems);
  for (const ArmRun* run : runs) {
    double sum = 0;
    for (std::size_t i = 0; i < problems; ++i) {
      const ProblemScore& problem = run->accuracy.problems[i];
      sum += problem.Mean();
      scores.sampled[i] += problem.Mean() / seeds;
      scores.greedy[i] += (problem.greedy ? 1.0 : 0.0) / seeds;
      scores.right[i] += problem.RightAnswers();
      scores.answered[i] += problem.samples - problem.refusals;
    }
    scores.by_seed.push_back(problems > 0 ? sum / static_cast<double>(problems) : 0);
  }
  return scores;
}

MeanInterval Difference(const std::vector<double>& from, const std::vector<double>& to) {
  std::vector<double> changes;
  for (std::size_t i = 0; i < from.size(); ++i) changes.push_back(to[i] - from[i]);
  return BootstrapMean(changes);
}

MeanInterval AnsweredPart(const Runs& runs, const Scores& scores) {
  std::vector<double> sampled;
  for (const ProblemScore& problem : runs.front()->accuracy.problems)
    sampled.push_back(static_cast<double>(problem.samples) * static_cast<double>(runs.size()));
  return BootstrapRatio(scores.answered, sampled);
}

ordered_json Percent(const MeanInterval& value) {
  return {{"mean", 100 * value.mean}, {"low", 100 * value.low}, {"high", 100 * value.high}};
}

ordered_json Row(const std::string& name, const MeanInterval& value) {
  ordered_json row = {{"name", name}};
  row.update(Percent(value));
  return row;
}

std::string Cell(const MeanInterval& v) {
  return fmt::format("{:.1f} [{:.1f}, {:.1f}]", 100 * v.mean, 100 * v.low, 100 * v.high);
}

std::string Change(const MeanInterval& v) {
  return fmt::format("{:+.1f} [{:+.1f}, {:+.1f}]", 100 * v.mean, 100 * v.low, 100 * v.high);
}

std::string BySeed(const ArmScore& score, bool base) {
  std::vector<std::string> texts;
  for (const double value : score.by_seed)
    texts.push_back(base ? fmt::format("{:.1f}", 100 * value)
                         : fmt::format("{:+.1f}", 100 * value));
  return fmt::format("{}", fmt::join(texts, ", "));
}

// Returns true if some arm searches and the baseline does not: then an arm's gain can be divided by
// its generated tokens.
bool HasGain(const std::vector<ArmScore>& scores, const std::string& baseline) {
  bool any = false;
  for (const ArmScore& score : scores) {
    if (score.arm == baseline && score.generated_tokens > 0) return false;
    any |= score.generated_tokens > 0;
  }
  return any;
}

// Returns the change of accuracy per million generated tokens.
std::string Gain(const ArmScore& score) {
  if (score.generated_tokens == 0) return "";
  return fmt::format("{:+.1f}", 100 * score.sampled_change.mean / (score.generated_tokens / 1e6));
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
    const Scores base = OverSeeds(runs_of(recipe.baseline));
    for (const Arm& arm : recipe.arms) {
      const Runs runs = runs_of(arm.name);
      const Scores scores = OverSeeds(runs);
      ArmScore score{.arm = arm.name, .set = set.name};
      score.sampled = BootstrapMean(scores.sampled);
      score.greedy = BootstrapMean(scores.greedy);
      score.by_seed = scores.by_seed;
      if (refuses) {
        score.answered = AnsweredPart(runs, scores);
        score.right_of_answered = BootstrapRatio(scores.right, scores.answered);
      }
      if (arm.name != recipe.baseline) {
        score.sampled_change = Difference(base.sampled, scores.sampled);
        score.greedy_change = Difference(base.greedy, scores.greedy);
        for (std::size_t i = 0; i < score.by_seed.size(); ++i) score.by_seed[i] -= base.by_seed[i];
        if (refuses)
          score.right_change =
              BootstrapRatioChange(base.right, base.answered, scores.right, scores.answered);
      }
      for (const ArmRun* run : runs) {
        score.generated_tokens +=
            static_cast<double>(run->tokens) / static_cast<double>(runs.size());
        score.pairs += static_cast<double>(run->pairs) / static_cast<double>(runs.size());
      }
      result.scores.push_back(std::move(score));
    }
  }
  result.comparisons = (refuses ? 3 : 2) * std::ssize(recipe.sets) * (std::ssize(recipe.arms) - 1);
  return result;
}

std::string AblationTable(const Recipe& recipe, const AblationResult& result) {
  const bool refuses = !recipe.eval.refusal.empty(),
             gains = HasGain(result.scores, recipe.baseline);
  std::string text = fmt::format("# {}\n", recipe.title);
  if (!recipe.question.empty()) text += fmt::format("\n{}\n", recipe.question);
  for (const EvalSet& set : recipe.sets) {
    std::vector<std::string> columns = {
        "arm",     "sampled, %",       fmt::format("change from {}", recipe.baseline),
        "by seed", "temperature 0, %", "its change"};
    if (refuses) columns.insert(columns.end(), {"answered, %", "right of these, %", "its change"});
    columns.insert(columns.end(), {"pairs", "generated tokens"});
    if (gains) columns.push_back("change per million");
    text += fmt::format("\n**{}**\n\n| {} |\n|", set.name, fmt::join(columns, " | "));
    for (std::size_t i = 0; i < columns.size(); ++i) text += "---|";
    text += "\n";
    for (const ArmScore& s : result.scores) {
      if (s.set != set.name) continue;
      const bool base = s.arm == recipe.baseline;
      std::vector<std::string> cells = {
          s.arm,           Cell(s.sampled), base ? "" : Change(s.sampled_change),
          BySeed(s, base), Cell(s.greedy),  base ? "" : Change(s.greedy_change)};
      if (refuses)
        cells.insert(cells.end(), {Cell(s.answered), Cell(s.right_of_answered),
                                   base ? "" : Change(s.right_change)});
      cells.insert(cells.end(),
                   {fmt::format("{:.0f}", s.pairs), fmt::format("{:.0f}", s.generated_tokens)});
      if (gains) cells.push_back(Gain(s));
      text += fmt::format("| {} |\n", fmt::join(cells, " | "));
    }
  }
  return text + fmt::format(
                    "\nSeeds {}; pairs and generated tokens are means over them. 95% intervals: "
                    "percentile bootstrap over "
                    "problems, paired for changes; {} changes are compared, none corrected for "
                    "that. By seed: the "
                    "change of the sampled accuracy, of the baseline the accuracy.\n",
                    fmt::join(recipe.seeds, ", "), result.comparisons);
}

std::string AblationJson(const Recipe& recipe, const AblationResult& result,
                         const std::vector<ArmRun>& runs,
                         const std::vector<TrainingCurve>& trainings) {
  const bool refuses = !recipe.eval.refusal.empty();
  ordered_json scores = ordered_json::array(), each = ordered_json::array(),
               logs = ordered_json::array();
  for (const TrainingCurve& curve : trainings)
    logs.push_back(
        {{"name", curve.name}, {"log", data::Absolute(curve.folder / "log.jsonl").string()}});
  for (const ArmScore& s : result.scores) {
    ordered_json score = {{"arm", s.arm},
                          {"set", s.set},
                          {"sampled", Percent(s.sampled)},
                          {"sampled_change", Percent(s.sampled_change)},
                          {"greedy", Percent(s.greedy)},
                          {"greedy_change", Percent(s.greedy_change)}};
    if (refuses) {
      score["answered"] = Percent(s.answered);
      score["right_of_answered"] = Percent(s.right_of_answered);
      score["right_change"] = Percent(s.right_change);
    }
    score["pairs"] = s.pairs;
    score["generated_tokens"] = s.generated_tokens;
    scores.push_back(std::move(score));
  }
  for (const ArmRun& run : runs) {
    each.push_back({{"arm", run.arm},
                    {"seed", run.seed},
                    {"set", run.set},
                    {"problems", run.accuracy.problems.size()},
                    {"sampled", 100 * run.accuracy.Sampled().mean},
                    {"greedy", 100 * run.accuracy.Greedy().mean},
                    {"pairs", run.pairs},
                    {"generated_tokens", run.tokens}});
    if (refuses) each.back()["answered"] = 100 * run.accuracy.Answered().mean;
  }
  const ordered_json all = {{"title", recipe.title},
                            {"question", recipe.question},
                            {"baseline", recipe.baseline},
                            {"seeds", recipe.seeds},
                            {"samples", recipe.eval.samples},
                            {"comparisons", result.comparisons},
                            {"scores", scores},
                            {"runs", each},
                            {"trainings", logs}};
  return all.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string AblationPage(const Recipe& recipe, const AblationResult& result,
                         const std::vector<TrainingCurve>& trainings) {
  ordered_json comparisons = ordered_json::array(), training = ordered_json::array();
  const auto compare = [&](const EvalSet& set, const std::string& title, const std::string& what,
                           MeanInterval ArmScore::*value, MeanInterval ArmScore::*change) {
    ordered_json rows = ordered_json::array(), differences = ordered_json::array();
    for (const ArmScore& score : result.scores) {
      if (score.set != set.name) continue;
      rows.push_back(Row(score.arm, score.*value));
      if (score.arm != recipe.baseline) differences.push_back(Row(score.arm, score.*change));
    }
    comparisons.push_back(
        {{"title", title},
         {"unit", "%"},
         {"note",
          fmt::format("{}; differences from {} on the same problems, {} seeds, 95% intervals by a "
                      "paired bootstrap over problems.",
                      what, recipe.baseline, recipe.seeds.size())},
         {"rows", rows},
         {"differences", differences}});
  };
  for (const EvalSet& set : recipe.sets) {
    compare(set, set.name, "Sampled accuracy", &ArmScore::sampled, &ArmScore::sampled_change);
    if (!recipe.eval.refusal.empty())
      compare(set, set.name + ", among the answered",
              "Right among the sampled responses that are no refusals",
              &ArmScore::right_of_answered, &ArmScore::right_change);
  }
  for (const TrainingCurve& curve : trainings)
    training.push_back(TrainingSeries(curve.name, curve.folder));
  ordered_json facts = {{"arms", std::to_string(recipe.arms.size())},
                        {"seeds", std::to_string(recipe.seeds.size())}};
  facts["comparisons"] = std::to_string(result.comparisons);
  ordered_json list = ordered_json::array();
  for (const auto& [name, value] : facts.items()) list.push_back({name, value});
  const ordered_json page = {{"title", recipe.title},
                             {"version", PIVOTAL_VERSION_STRING},
                             {"settings", ordered_json::array()},
                             {"facts", list},
                             {"problems", ordered_json::array()},
                             {"training", training},
                             {"comparisons", comparisons}};
  return ReportPage(page.dump(-1, ' ', false, ordered_json::error_handler_t::replace), {});
}

}  // namespace pivotal::experiments
