// Apache-2.0. pivotal eval
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "experiments/evaluate/accuracy.h"

namespace pivotal::cli {
namespace {

struct EvalFlags {
  ModelSettings model;
  ServedSettings served;
  ProblemSettings problems;
  SamplingSettings sampling;
  experiments::EvalOptions eval;
  std::filesystem::path output;
};

std::string Row(const std::string& name, const experiments::MeanInterval& value) {
  return fmt::format("{:<28} {:5.1f}%  [{:.1f}, {:.1f}]\n", name, 100 * value.mean, 100 * value.low,
                     100 * value.high);
}

std::string SummaryText(const experiments::Accuracy& accuracy,
                        const experiments::EvalOptions& options) {
  std::string text =
      fmt::format("{} problems, 95% intervals over problems\n", accuracy.problems.size());
  text += Row(fmt::format("sampled ({} per problem)", options.samples), accuracy.Sampled());
  text += Row("temperature 0", accuracy.Greedy());
  if (!options.refusal.empty()) {
    text += Row("answered", accuracy.Answered());
    text += Row("right of the answered", accuracy.RightOfAnswered());
  }
  if (accuracy.verdicts.Failed() > 0)
    text += fmt::format("{}; these responses count as wrong\n", accuracy.verdicts.Text());
  return text;
}

// Writes the scores; prints them if that fails.
void Save(const experiments::Accuracy& accuracy, data::FileSink& file) {
  try {
    experiments::SaveScores(accuracy, file);
  } catch (const Error& error) {
    file.Recall(PrintResult);
    Fail("{}; the scores are on standard output instead", error.what());
  }
}

void RunEval(const EvalFlags& flags) {
  std::optional<data::FileSink> file;
  if (!flags.output.empty()) {
    data::RequireAbsent(flags.output);
    file.emplace(flags.output);
  }
  ConsoleProgress progress;
  const auto accuracy =
      experiments::EvaluateFile(flags.model, flags.problems, flags.sampling, flags.eval, progress,
                                file ? &*file : nullptr, flags.served);
  PrintResult(SummaryText(accuracy, flags.eval));
  if (file) Save(accuracy, *file);
}

}  // namespace

void AddEval(CLI::App& app) {
  auto* sub = app.add_subcommand("eval", "Measure a model's accuracy on a problem file");
  auto flags = std::make_shared<EvalFlags>();
  AddModelFlags(*sub, flags->model);
  AddServedFlags(*sub, flags->served, flags->model);
  AddSystemFlag(*sub, flags->model);
  AddProblemFlags(*sub, flags->problems);
  sub->add_option("--samples", flags->eval.samples,
                  "sampled responses to each problem; one response at temperature 0 is added")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  sub->add_option("--refusal", flags->eval.refusal,
                  "text that makes a response a refusal, e.g. \"I don't know\"; adds the accuracy "
                  "among responses that are no refusals");
  sub->add_option("--output", flags->output,
                  "file to write the scores to, one JSON object per problem");
  AddSamplingFlags(*sub, flags->sampling);
  sub->callback([flags, sub] {
    CheckServedFlags(*sub);
    UseDataset(*sub, flags->problems);
    RunEval(*flags);
  });
}

}  // namespace pivotal::cli
