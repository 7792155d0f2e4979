// Apache-2.0. pivotal grade
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <thread>

#include "cli/console.h"
#include "cli/flags.h"
#include "experiments/grade_run.h"

namespace pivotal::cli {
namespace {

double Share(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

void PrintAgreement(const std::string& label, const experiments::GradeSummary& summary) {
  const auto& [wrong, right] = summary.agreement;
  fmt::print("{:<18}{:>12}{:>12}\n", label, "true", "false");
  fmt::print("{:<18}{:>12}{:>12}\n", "graded right", right[1], wrong[1]);
  fmt::print("{:<18}{:>12}{:>12}\n", "graded wrong", right[0], wrong[0]);
  const int64_t same = right[1] + wrong[0];
  fmt::print("agreement {:.1f}% ({} of {})\n", Share(same, summary.lines), same, summary.lines);
}

void Run(const experiments::GradeSettings& settings) {
  ConsoleProgress progress;
  const auto summary = experiments::GradeFile(settings, progress);
  fmt::print("{} lines graded, {} right ({:.1f}%)", summary.lines, summary.right,
             Share(summary.right, summary.lines));
  fmt::print("{}\n", settings.output.empty() ? std::string()
                                             : fmt::format("; in {}", settings.output.string()));
  if (!settings.label_key.empty()) PrintAgreement(settings.label_key, summary);
}

}  // namespace

void AddGrade(CLI::App& app) {
  auto* sub = app.add_subcommand("grade", "Judge responses that are there already; needs no model");
  auto settings = std::make_shared<experiments::GradeSettings>();
  settings->threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  sub->add_option("--oracle", settings->oracle, kOracleHelp)->required();
  AddOracleFlags(*sub, settings->oracle_options);
  sub->add_option("--input", settings->input,
                  "a JSON object per line: answer (a string, a number, or a list of right ones) "
                  "and response")
      ->required();
  sub->add_option("--output", settings->output,
                  "the same lines with success (true or false); absent: counts only");
  sub->add_option("--question-key", settings->question_key,
                  "key of the question, which few oracles read")
      ->capture_default_str();
  sub->add_option("--answer-key", settings->answer_key, "key of the reference answer")
      ->capture_default_str();
  sub->add_option("--response-key", settings->response_key, "key of the response")
      ->capture_default_str();
  sub->add_option("--label-key", settings->label_key,
                  "key of a verdict (true, false, 1, 0); prints how often the oracle agrees");
  sub->add_option("--threads", settings->threads, "lines that are judged at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  sub->callback([settings] { Run(*settings); });
}

}  // namespace pivotal::cli
