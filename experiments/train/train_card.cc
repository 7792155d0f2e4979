// Apache-2.0.
#include "experiments/train/train_card.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "experiments/evaluate/model_card.h"
#include "pivotal/version.h"

namespace pivotal::experiments {
namespace {

namespace fs = std::filesystem;
using Line = nlohmann::ordered_json;
using Row = std::vector<std::string>;

constexpr std::size_t kMostRows = 12;  // of a table of the log

std::string MethodName(const TrainSettings& settings) {
  return settings.sft ? "sft" : std::string(dpo::PreferenceMethodName(settings.loss.method));
}

// Returns what the method is, as Markdown.
std::string MethodText(const TrainSettings& settings) {
  if (settings.sft) return "next-token prediction of completions";
  const auto paper = [](const char* name, const char* number) {
    return fmt::format("{} ([arXiv {}](https://arxiv.org/abs/{}))", name, number, number);
  };
  switch (settings.loss.method) {
    case PreferenceMethod::kDpo: return paper("direct preference optimization", "2305.18290");
    case PreferenceMethod::kCpo: return paper("contrastive preference optimization", "2401.08417");
    case PreferenceMethod::kSimpo: return paper("simple preference optimization", "2405.14734");
    case PreferenceMethod::kOrpo: return paper("odds ratio preference optimization", "2403.07691");
    case PreferenceMethod::kKto: return paper("Kahneman-Tversky optimization", "2402.01306");
    case PreferenceMethod::kPpo:
      return paper("policy gradient with PPO's clipped ratio", "1707.06347");
    default: return MethodName(settings);
  }
}

std::string TrainedText(const TrainSettings& settings) {
  const char* const merged = settings.merge ? ", then added to the weights" : "";
  if (!settings.model.adapter.empty())
    return "the LoRA adapter " + MarkdownCodeCell(ModelName(settings.model.adapter)) +
           ", trained further" + merged;
  const LoraOptions& lora = settings.lora;
  if (lora.rank > 0) {
    const std::string modules =
        lora.modules.empty() ? "all linear layers of the decoder"
                             : MarkdownCodeCell(fmt::format("{}", fmt::join(lora.modules, ",")));
    return fmt::format("a LoRA adapter of rank {}, alpha {:.4g}{}, on {}{}", lora.rank, lora.alpha,
                       lora.rslora ? " (rank-stabilised)" : "", modules, merged);
  }
  if (settings.freeze.empty()) return "all weights";
  return "all weights but those of " +
         MarkdownCodeCell(fmt::format("{}", fmt::join(settings.freeze, ",")));
}

std::string SettingsTable(const TrainSettings& settings, const TrainFacts& facts) {
  const TrainOptions& o = settings.options;
  std::vector<Row> rows = {
      {"base model", MarkdownCodeCell(ModelName(settings.model.folder))},
      {"method", MethodText(settings)},
      {"data", fmt::format("{}, {} {}", MarkdownCodeCell(DataName(settings.data)), facts.examples,
                           settings.TrainsPairs() ? "pairs" : "completions")},
      {"trained", TrainedText(settings)},
      {"steps",
       fmt::format(
           "{}{} of {} examples, {} epoch{}", facts.step,
           facts.step < facts.steps ? fmt::format(" (of {}; ended early)", facts.steps) : "",
           o.StepSize(), o.epochs, o.epochs == 1 ? "" : "s")},
      {"learning rate",
       fmt::format("{:.4g}, {} after a warm-up of {} step{}", o.optimizer.learning_rate,
                   dpo::ScheduleName(o.schedule), facts.warmup, facts.warmup == 1 ? "" : "s")},
      {"optimizer", std::string(dpo::OptimizerTypeName(o.optimizer.type))},
      {"type of the weights", settings.model.dtype},
      {"seed", std::to_string(o.seed)},
      {"trained by", "Pivotal " PIVOTAL_VERSION_STRING}};
  const LossOptions& loss = settings.loss;
  if (!settings.sft)
    rows.insert(
        rows.begin() + 2,
        {"loss", settings.UsesAdvantages()
                     ? fmt::format("ratios clipped at 1 ± {:.4g}, KL weight {:.4g}",
                                   loss.clip_ratio, loss.kl_weight)
                     : fmt::format("{}, beta {:.4g}", dpo::LossesText(loss.losses), loss.beta)});
  return MarkdownTable({"", ""}, rows);
}

// Returns the lines of log.jsonl that hold `key`.
std::vector<Line> LinesWith(const fs::path& log, const char* key) {
  std::vector<Line> lines;
  std::ifstream in(log);
  for (std::string text; std::getline(in, text);) {
    Line line = Line::parse(text, nullptr, /*allow_exceptions=*/false);
    if (line.is_object() && line.contains("step") && line.contains(key))
      lines.push_back(std::move(line));
  }
  return lines;
}

// Returns at most kMostRows lines at even distances, with the first and the last.
std::vector<Line> Thinned(const std::vector<Line>& lines) {
  if (lines.size() <= kMostRows) return lines;
  std::vector<Line> some;
  for (std::size_t i = 0; i < kMostRows; ++i)
    some.push_back(lines[i * (lines.size() - 1) / (kMostRows - 1)]);
  return some;
}

// Returns the numbers of these lines under these keys.
std::string LogTable(const std::vector<Line>& lines, const Row& keys) {
  std::vector<Row> rows;
  for (const Line& line : lines) {
    Row& row = rows.emplace_back();
    for (const std::string& key : keys) {
      const auto found = line.find(key);
      row.push_back(found == line.end()          ? ""
                    : found->is_number_integer() ? std::to_string(found->get<int64_t>())
                    : found->is_number()         ? fmt::format("{:.4g}", found->get<double>())
                                                 : "nan");  // JSON has null for it
    }
  }
  return MarkdownTable(keys, rows);
}

std::string LossesText(const fs::path& log) {
  const std::vector<Line> lines = LinesWith(log, "loss");
  if (lines.empty()) return "";
  Row keys = {"step", "epoch", "learning_rate", "loss"};
  for (const char* key : {"rewards/chosen", "rewards/rejected", "rewards/margins",
                          "rewards/accuracies", "ratio", "clip_ratio/region_mean", "kl"})
    if (lines[0].contains(key)) keys.emplace_back(key);
  return "\n## Losses\n" + LogTable(Thinned(lines), keys);
}

std::string EvaluationText(const TrainSettings& settings, const TrainFacts& facts,
                           const fs::path& log) {
  const HeldOutSettings& held_out = settings.held_out;
  if (!held_out.any()) return "";
  std::vector<Line> lines = LinesWith(log, "eval_loss");
  if (held_out.data.empty()) lines = LinesWith(log, "eval_accuracy");
  if (lines.empty()) return "";
  Row keys = {"step"};
  for (const auto& [key, value] : lines[0].items())
    if (key != "step" && value.is_number()) keys.push_back(key);
  std::string text = "\n## Evaluation\n";
  if (!held_out.data.empty())
    text +=
        fmt::format("Loss and rewards are those of {}. ", MarkdownCode(DataName(held_out.data)));
  if (!held_out.problems.file.empty())
    text += fmt::format("`eval_accuracy` is the fraction of {} that is solved at temperature 0. ",
                        MarkdownCode(DataName(held_out.problems.file)));
  text.back() = '\n';
  text += '\n' + LogTable(Thinned(lines), keys);
  if (facts.best.step > 0)
    text += fmt::format(
        "\nThe best `{}`, {:.4g}, came after step {}; this model is that of the "
        "last step.\n",
        held_out.Metric(), facts.best.value, facts.best.step);
  return text;
}

std::string UseText(const TrainSettings& settings, const std::string& name) {
  const std::string quoted =
      nlohmann::json(name).dump(-1, ' ', /*ensure_ascii=*/true, Line::error_handler_t::replace);
  if (settings.WritesAdapter())
    return MarkdownBlock(fmt::format("from peft import AutoPeftModelForCausalLM\n\n"
                                     "model = AutoPeftModelForCausalLM.from_pretrained({})\n",
                                     quoted),
                         "python");
  return MarkdownBlock(
      fmt::format("from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
                  "model = AutoModelForCausalLM.from_pretrained({0})\n"
                  "tokenizer = AutoTokenizer.from_pretrained({0})\n",
                  quoted),
      "python");
}

}  // namespace

std::string TrainCard(const TrainSettings& settings, const TrainFacts& facts,
                      const fs::path& output) {
  const std::string name = BareName(output), base = ModelName(settings.model.folder);
  std::string text = CardHeadText({.base = settings.model.folder,
                                   .adapter = settings.WritesAdapter(),
                                   .tags = {MethodName(settings)},
                                   .datasets = {DataName(settings.data)}});
  text +=
      fmt::format("\n# {}\nThis {} {}, trained on {} by {} with Pivotal.\n\n", MarkdownCode(name),
                  settings.WritesAdapter() ? "LoRA adapter belongs to" : "model is",
                  MarkdownCode(base), MarkdownCode(DataName(settings.data)), MethodText(settings));
  text += UseText(settings, name);
  text += "\n## Training\n" + SettingsTable(settings, facts);
  text += LossesText(output / "log.jsonl");
  text += EvaluationText(settings, facts, output / "log.jsonl");
  if (!settings.command.empty()) text += "\n## Command\n" + MarkdownBlock(settings.command, "sh");
  text +=
      "\nEvery setting, as in `train.toml`:\n\n" + MarkdownBlock(CardSettings(settings), "toml");
  return text;
}

}  // namespace pivotal::experiments
