// Apache-2.0. pivotal eval
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/base/file_sink.h"
#include "experiments/evaluate/accuracy.h"

namespace pivotal::cli {
namespace {

struct EvalFlags {
  ModelSettings model;
  ProblemSettings problems;
  SamplingSettings sampling;
  experiments::EvalOptions eval;
  std::filesystem::path output;
};

void PrintRow(const std::string& name, const experiments::MeanInterval& value) {
  fmt::print("{:<28} {:5.1f}%  [{:.1f}, {:.1f}]\n", name, 100 * value.mean, 100 * value.low,
             100 * value.high);
}

void RunEval(const EvalFlags& flags) {
  if (!flags.output.empty()) data::RequireAbsent(flags.output);
  ConsoleProgress progress;
  const auto accuracy =
      experiments::EvaluateFile(flags.model, flags.problems, flags.sampling, flags.eval, progress);
  fmt::print("{} problems, 95% intervals over problems\n", accuracy.problems.size());
  PrintRow(fmt::format("sampled ({} per problem)", flags.eval.samples), accuracy.Sampled());
  PrintRow("temperature 0", accuracy.Greedy());
  if (!flags.eval.refusal.empty()) {
    PrintRow("answered", accuracy.Answered());
    PrintRow("right of the answered", accuracy.RightOfAnswered());
  }
  if (accuracy.verdicts.Failed() > 0)
    fmt::print("{}; these responses count as wrong\n", accuracy.verdicts.Text());
  if (!flags.output.empty()) experiments::SaveScores(accuracy, flags.output);
}

}  // namespace

void AddEval(CLI::App& app) {
  auto* sub = app.add_subcommand("eval", "Measure a model's accuracy on a problem file");
  auto flags = std::make_shared<EvalFlags>();
  AddModelFlags(*sub, flags->model);
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
  sub->callback([flags] { RunEval(*flags); });
}

}  // namespace pivotal::cli
