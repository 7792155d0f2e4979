// Apache-2.0. pivotal score, pivotal grade, pivotal tokenize
#include "experiments/evaluate/line_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "cli/patient_threads.h"
#include "data/base/json_input.h"

namespace pivotal::cli {
namespace {

using experiments::GradeSettings;
using experiments::GradeSummary;
using experiments::ScoreSettings;
using experiments::TokenizeSettings;

void RunScore(const ScoreSettings& settings) {
  ConsoleProgress progress;
  const auto summary = experiments::ScoreFile(settings, progress);
  fmt::print("{} lines, {} completion tokens", summary.lines, summary.tokens);
  if (summary.tokens > 0)
    fmt::print(", perplexity {:.4f}",
               std::exp(-summary.logprob / static_cast<double>(summary.tokens)));
  fmt::print("; in {}\n", settings.output.string());
}

double Percent(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string AgreementText(const std::string& label, const GradeSummary& summary) {
  const auto& [wrong, right] = summary.agreement;
  const auto row = [](std::string_view name, const auto& a, const auto& b) {
    return fmt::format("{:<18}{:>12}{:>12}\n", name, a, b);
  };
  const int64_t same = right[1] + wrong[0];
  return row(label, "true", "false") + row("graded right", right[1], wrong[1]) +
         row("graded wrong", right[0], wrong[0]) +
         fmt::format("agreement {:.1f}% ({} of {})\n", Percent(same, summary.lines), same,
                     summary.lines);
}

std::string GradeJson(const GradeSettings& settings, const GradeSummary& summary) {
  nlohmann::ordered_json object = {{"lines", summary.lines},
                                   {"right", summary.right},
                                   {"failed_verdicts", summary.verdicts.Failed()}};
  if (!settings.label_key.empty()) {
    const auto& [wrong, right] = summary.agreement;
    object["agreement"] = {{"right_right", right[1]},
                           {"right_wrong", right[0]},
                           {"wrong_right", wrong[1]},
                           {"wrong_wrong", wrong[0]}};
  }
  if (!settings.output.empty()) object["output"] = settings.output.string();
  return data::JsonLine(object);
}

void RunGrade(const GradeSettings& settings, bool json) {
  ConsoleProgress progress;
  const GradeSummary summary = experiments::GradeFile(settings, progress);
  if (json) return PrintResult(GradeJson(settings, summary));
  std::string text =
      fmt::format("{} lines graded, {} right ({:.1f}%){}\n", summary.lines, summary.right,
                  Percent(summary.right, summary.lines),
                  settings.output.empty() ? "" : fmt::format("; in {}", settings.output.string()));
  if (summary.verdicts.Failed() > 0)
    text += fmt::format("{}; these lines count as wrong\n", summary.verdicts.Text());
  if (!settings.label_key.empty()) text += AgreementText(settings.label_key, summary);
  PrintResult(text);
}

void RunTokenize(const TokenizeSettings& settings) {
  ReleaseStopHandler();  // nobody looks for stop requests
  const auto counts = experiments::TokenizeFile(settings);
  if (counts.broken > 0)
    fmt::print(stderr, "{} texts hold line ends and take several lines\n", counts.broken);
  const bool standard = settings.output == "-";  // then standard output is for the result alone
  fmt::print(standard ? stderr : stdout, "{} lines, {} tokens in {}\n", counts.lines, counts.tokens,
             standard ? "standard output" : settings.output.string());
}

}  // namespace

void AddScore(CLI::App& app) {
  auto* sub = app.add_subcommand("score",
                                 "Compute the log-probability of every token of given completions");
  auto settings = std::make_shared<ScoreSettings>();
  AddModelFlags(*sub, settings->model);
  AddServedFlags(*sub, settings->served, settings->model);
  Under(*sub, group::kInput);
  sub->add_option("--input", settings->input,
                  "file with one JSON object per line: prompt and completion (text or messages), "
                  "or prompt_ids and completion_ids")
      ->type_name("FILE")
      ->required();
  sub->add_option("--output", settings->output,
                  "file to write: the same lines with completion_ids and logprobs (natural "
                  "logarithm, temperature 1)")
      ->type_name("FILE")
      ->required();
  sub->add_option("--batch-tokens", settings->batch_tokens,
                  "number of tokens that go through the model at once")
      ->check(Whole(1, 1 << 24))
      ->capture_default_str();
  AddForceFlag(*sub, settings->force);
  SetHelp(*sub, {"--model FOLDER --input FILE --output FILE [OPTIONS]",
                 {"--model", "--adapter", "--policy", "--input", "--output", "--device", "--dtype",
                  "--batch-tokens"},
                 {{"score the completions of a file",
                   "score --model phi-4-mini --input lines.jsonl --output scored.jsonl"},
                  {"score them by a trained adapter, and replace the scores that are there",
                   "score --model phi-4-mini --adapter tuned --input lines.jsonl --output "
                   "scored.jsonl --force"}},
                 "docs/models.md"});
  sub->callback([settings, sub] {
    CheckServedFlags(*sub, settings->served, settings->model);
    UsePatientThreads();
    RunScore(*settings);
  });
}

void AddGrade(CLI::App& app) {
  auto* sub = app.add_subcommand("grade", "Judge the responses in a file; needs no model");
  auto settings = std::make_shared<GradeSettings>();
  auto json = std::make_shared<bool>(false);
  settings->threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  sub->add_option("--oracle", settings->oracle, kOracleHelp)->required();
  AddOracleFlags(*sub, settings->oracle_options);
  sub->add_option("--input", settings->input,
                  "file with one JSON object per line: response and answer (a string, a number, or "
                  "a list of right answers)")
      ->type_name("FILE")
      ->required();
  sub->add_option(
         "--output", settings->output,
         "file to write: the same lines with success, true or false, and oracle_failed where "
         "the oracle gave no verdict (default: only counts are printed)")
      ->type_name("FILE");
  sub->add_option("--question-key", settings->question_key,
                  "JSON key of the question, which few oracles read")
      ->capture_default_str();
  sub->add_option("--answer-key", settings->answer_key, "JSON key of the reference answer")
      ->capture_default_str();
  sub->add_option("--response-key", settings->response_key, "JSON key of the response")
      ->capture_default_str();
  sub->add_option("--label-key", settings->label_key,
                  "JSON key of a known verdict (true, false, 1 or 0); prints how often the oracle "
                  "agrees with it");
  sub->add_option("--threads", settings->threads, "number of lines that are judged at once")
      ->check(Whole(1, 1024))
      ->capture_default_str();
  AddForceFlag(*sub, settings->force);
  AddJsonFlag(*sub, *json);
  SetHelp(*sub, {"--oracle NAME --input FILE [OPTIONS]",
                 {"--oracle", "--input", "--output", "--answer-key", "--response-key",
                  "--label-key", "--threads"},
                 {{"count right answers", "grade --oracle math --input responses.jsonl"},
                  {"compare the oracle with known verdicts",
                   "grade --oracle numeric --input labelled.jsonl --label-key correct"}},
                 "docs/oracles.md"});
  sub->callback([settings, json] { RunGrade(*settings, *json); });
}

void AddTokenize(CLI::App& app) {
  auto* sub = app.add_subcommand("tokenize", "Turn lines of text into token ids, or back");
  auto settings = std::make_shared<TokenizeSettings>();
  auto* model =
      sub->add_option("--model", settings->model,
                      "folder with a tokenizer in Hugging Face format, or its name on the "
                      "Hub; weights are not needed");
  model->required();
  FindOnHub(model, *sub, experiments::ModelPart::kTokenizer);
  sub->add_option("--input", settings->input,
                  "text file; each line is encoded without its line end; - reads standard input")
      ->type_name("FILE")
      ->required();
  sub->add_option("--output", settings->output,
                  "file to write, one JSON array of ids per line; - writes to standard output")
      ->type_name("FILE")
      ->required();
  auto* decode = sub->add_flag("--decode", settings->decode,
                               "turn arrays of ids into lines of text; a text that holds line ends "
                               "is written as it is and takes several lines");
  sub->add_flag("--add-special", settings->add_special,
                "add the special tokens that the tokenizer's files ask for, e.g. BOS")
      ->excludes(decode);
  AddForceFlag(*sub, settings->force);
  SetHelp(*sub, {"--model FOLDER --input FILE --output FILE [OPTIONS]",
                 {"--model", "--input", "--output", "--decode", "--add-special"},
                 {{"see the tokens of lines that you type",
                   "tokenize --model phi-4-mini --input - --output -"},
                  {"turn token ids into text",
                   "tokenize --model phi-4-mini --decode --input ids.jsonl --output text"}},
                 "docs/models.md"});
  sub->callback([settings] { RunTokenize(*settings); });
}

}  // namespace pivotal::cli
