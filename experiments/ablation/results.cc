// Apache-2.0.
#include "experiments/ablation/results.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "data/base/folders.h"
#include "experiments/evaluate/model_card.h"
#include "experiments/report/report_page.h"
#include "experiments/train/train_output.h"
#include "pivotal/version.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

ordered_json Percent(const MeanInterval& value) {
  return {{"mean", 100 * value.mean}, {"low", 100 * value.low}, {"high", 100 * value.high}};
}

ordered_json ChangeJson(const ArmChange& change) {
  ordered_json json = Percent(change);
  json["p"] = change.p;
  return json;
}

// Returns the name of the curve that an arm is a point of, or "".
std::string CurveOf(const Recipe& recipe, const std::string& arm) {
  return std::ranges::find(recipe.arms, arm, &Arm::name)->curve;
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

std::string PText(double p) { return p < 0.001 ? "<0.001" : fmt::format("{:.3f}", p); }

// Returns the name of the model's folder, or if that is "model" the name of the folder around it.
std::string NameOfModel(const ModelSettings& model) {
  const std::filesystem::path folder = data::Absolute(model.folder).lexically_normal();
  const auto name = folder.has_filename() ? folder.filename() : folder.parent_path().filename();
  return name == "model" ? folder.parent_path().filename().string() : name.string();
}

// Says how the intervals and the p-values came about.
std::string Method(const Recipe& recipe) {
  return recipe.seeds.size() > 1
             ? "95% intervals and p-values count seeds as well as problems (generalized "
               "confidence intervals of crossed random effects), paired for changes"
             : "95% intervals and p-values: Student's t over problems, paired for changes; one "
               "seed does not tell what another would change";
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
    if (score.arm == baseline && score.cost.generated_tokens > 0) return false;
    any |= score.cost.generated_tokens > 0;
  }
  return any;
}

// Returns the change of accuracy per million generated tokens.
std::string Gain(const ArmScore& score) {
  if (score.cost.generated_tokens == 0) return "";
  return fmt::format("{:+.1f}",
                     100 * score.sampled_change.mean / (score.cost.generated_tokens / 1e6));
}

// Returns the plots of accuracy against cost of a set, one for each kind of cost; none without
// curves.
ordered_json CostPlots(const Recipe& recipe, const AblationResult& result, const std::string& set) {
  std::map<std::string, std::vector<const ArmScore*>> curves;
  for (const ArmScore& score : result.scores)
    if (const std::string curve = CurveOf(recipe, score.arm); score.set == set && !curve.empty())
      curves[curve].push_back(&score);
  ordered_json plots = ordered_json::array();
  const auto add = [&](const char* label, auto cost) {
    ordered_json lines = ordered_json::array();
    for (auto& [name, scores] : curves) {
      std::ranges::sort(scores, {}, [&](const ArmScore* score) { return cost(score->cost); });
      ordered_json points = ordered_json::array();
      for (const ArmScore* score : scores) {
        points.push_back(Row(score->arm, score->sampled));
        points.back()["cost"] = cost(score->cost);
      }
      lines.push_back({{"name", name}, {"points", points}});
    }
    plots.push_back(
        {{"title", set}, {"label", label}, {"unit", "sampled accuracy, %"}, {"curves", lines}});
  };
  if (curves.empty()) return plots;
  add("tokens, generated and trained on",
      [](const ArmCost& cost) { return cost.generated_tokens + cost.trained_tokens; });
  add("seconds", [](const ArmCost& cost) { return cost.seconds; });
  return plots;
}

}  // namespace

std::string AblationTable(const Recipe& recipe, const AblationResult& result) {
  const bool refuses = !recipe.eval.refusal.empty(),
             gains = HasGain(result.scores, recipe.baseline);
  std::string text = fmt::format("# {}\n", MarkdownText(recipe.title));
  if (!recipe.question.empty()) text += fmt::format("\n{}\n", MarkdownText(recipe.question));
  for (const EvalSet& set : recipe.sets) {
    std::vector<std::string> columns = {
        "arm",       "sampled, %", fmt::format("change from {}", MarkdownText(recipe.baseline)),
        "p, Holm",   "by seed",    "temperature 0, %",
        "its change"};
    if (refuses) columns.insert(columns.end(), {"answered, %", "right of these, %", "its change"});
    columns.insert(columns.end(), {"pairs", "generated tokens", "trained tokens", "seconds"});
    if (gains) columns.push_back("change per million");
    text += fmt::format("\n**{}**\n\n| {} |\n|", MarkdownText(set.name), fmt::join(columns, " | "));
    for (std::size_t i = 0; i < columns.size(); ++i) text += "---|";
    text += "\n";
    for (const ArmScore& s : result.scores) {
      if (s.set != set.name) continue;
      const bool base = s.arm == recipe.baseline;
      std::vector<std::string> cells = {
          MarkdownText(s.arm),
          Cell(s.sampled),
          base ? "" : Change(s.sampled_change) + (s.Stands() ? " \\*" : ""),
          base ? "" : PText(s.holm_p),
          BySeed(s, base),
          Cell(s.greedy),
          base ? "" : Change(s.greedy_change)};
      if (refuses)
        cells.insert(cells.end(), {Cell(s.answered), Cell(s.right_of_answered),
                                   base ? "" : Change(s.right_change)});
      for (const double cost :
           {s.cost.pairs, s.cost.generated_tokens, s.cost.trained_tokens, s.cost.seconds})
        cells.push_back(fmt::format("{:.0f}", cost));
      if (gains) cells.push_back(Gain(s));
      text += fmt::format("| {} |\n", fmt::join(cells, " | "));
    }
  }
  return text +
         fmt::format(
             "\nSeeds {}; pairs, tokens and seconds are means over them. Seconds are those of "
             "searches, pairs and trainings. By seed: the change of the sampled accuracy, of the "
             "baseline the accuracy.\n\n{}. {} of the sampled accuracy {} compared; \"p, "
             "Holm\" is adjusted for that number, and \\* marks the changes that stand at 5% then. "
             "All other changes are exploratory and not adjusted.\n",
             fmt::join(recipe.seeds, ", "), Method(recipe),
             result.comparisons == 1 ? "1 change" : fmt::format("{} changes", result.comparisons),
             result.comparisons == 1 ? "is" : "are");
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
    ordered_json score = {{"arm", s.arm}, {"set", s.set}};
    if (const std::string curve = CurveOf(recipe, s.arm); !curve.empty()) score["curve"] = curve;
    score["sampled"] = Percent(s.sampled);
    score["sampled_change"] = ChangeJson(s.sampled_change);
    score["sampled_change"]["holm_p"] = s.holm_p;
    score["greedy"] = Percent(s.greedy);
    score["greedy_change"] = ChangeJson(s.greedy_change);
    if (refuses) {
      score["answered"] = Percent(s.answered);
      score["right_of_answered"] = Percent(s.right_of_answered);
      score["right_change"] = ChangeJson(s.right_change);
    }
    score["pairs"] = s.cost.pairs;
    score["generated_tokens"] = s.cost.generated_tokens;
    score["trained_tokens"] = s.cost.trained_tokens;
    score["seconds"] = s.cost.seconds;
    scores.push_back(std::move(score));
  }
  for (const ArmRun& run : runs) {
    each.push_back({{"arm", run.arm},
                    {"seed", run.seed},
                    {"set", run.set},
                    {"problems", run.accuracy.problems.size()},
                    {"sampled", 100 * run.accuracy.Sampled().mean},
                    {"greedy", 100 * run.accuracy.Greedy().mean},
                    {"pairs", std::llround(run.cost.pairs)},
                    {"generated_tokens", std::llround(run.cost.generated_tokens)},
                    {"trained_tokens", std::llround(run.cost.trained_tokens)},
                    {"seconds", run.cost.seconds}});
    if (refuses) each.back()["answered"] = 100 * run.accuracy.Answered().mean;
  }
  const ordered_json all = {{"title", recipe.title},
                            {"question", recipe.question},
                            {"model", NameOfModel(recipe.model)},
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
                           MeanInterval ArmScore::*value, ArmChange ArmScore::*change,
                           bool adjusted) {
    ordered_json rows = ordered_json::array(), differences = ordered_json::array();
    for (const ArmScore& score : result.scores) {
      if (score.set != set.name) continue;
      rows.push_back(Row(score.arm, score.*value));
      if (score.arm != recipe.baseline)
        differences.push_back(
            Row(score.arm + (adjusted && score.Stands() ? " *" : ""), score.*change));
    }
    comparisons.push_back(
        {{"title", title},
         {"unit", "%"},
         {"note",
          fmt::format("{}; differences from {} on the same problems, {} seeds. {}. {}", what,
                      recipe.baseline, recipe.seeds.size(), Method(recipe),
                      adjusted
                          ? fmt::format("* stands at 5% after Holm's correction for {} changes.",
                                        result.comparisons)
                          : "These differences are exploratory: nothing corrects them.")},
         {"rows", rows},
         {"differences", differences}});
  };
  ordered_json costs = ordered_json::array();
  for (const EvalSet& set : recipe.sets) {
    for (auto& plot : CostPlots(recipe, result, set.name)) costs.push_back(std::move(plot));
    compare(set, set.name, "Sampled accuracy", &ArmScore::sampled, &ArmScore::sampled_change, true);
    if (!recipe.eval.refusal.empty())
      compare(set, set.name + ", among the answered",
              "Right among the sampled responses that are no refusals",
              &ArmScore::right_of_answered, &ArmScore::right_change, false);
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
                             {"comparisons", comparisons},
                             {"costs", costs}};
  return ReportPage(page.dump(-1, ' ', false, ordered_json::error_handler_t::replace), {});
}

}  // namespace pivotal::experiments
