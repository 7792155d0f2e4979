// Apache-2.0. pivotal eval
#include <fmt/format.h>

#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "data/file_sink.h"
#include "experiments/accuracy.h"

namespace pivotal::cli {
namespace {

struct Flags {
  experiments::ModelSettings model;
  experiments::ProblemSettings problems;
  experiments::SamplingSettings sampling;
  experiments::EvalOptions eval;
  std::filesystem::path output;
};

void PrintRow(const char* name, const experiments::MeanInterval& value) {
  fmt::print("{:<28} {:5.1f}%  [{:.1f}, {:.1f}]\n", name, 100 * value.mean, 100 * value.low,
             100 * value.high);
}

void Run(const Flags& flags) {
  if (!flags.output.empty()) data::RequireAbsent(flags.output);
  const auto oracle = pts::MakeOracle(flags.problems.oracle, flags.problems.oracle_options);
  const auto problems = data::LoadProblems(flags.problems.file, flags.problems.options);
  experiments::CheckAnswers(*oracle, problems, flags.problems);
  const auto model = experiments::LoadModel(flags.model, model::WeightUse::kRollouts);
  ConsoleProgress progress;
  const auto accuracy = experiments::Evaluate(model, problems, *oracle, flags.sampling,
                                              flags.eval, progress);
  fmt::print("{} problems, 95% intervals over problems\n", problems.size());
  PrintRow(fmt::format("sampled ({} per problem)", flags.eval.samples).c_str(), accuracy.Sampled());
  PrintRow("temperature 0", accuracy.Greedy());
  if (!flags.eval.refusal.empty()) {
    PrintRow("answered", accuracy.Answered());
    PrintRow("right of the answered", accuracy.RightOfAnswered());
  }
  if (!flags.output.empty()) experiments::SaveScores(accuracy, flags.output);
}

}  // namespace

void AddEval(CLI::App& app) {
  auto* sub = app.add_subcommand("eval", "Measure accuracy over a problem file");
  auto flags = std::make_shared<Flags>();
  AddModelFlags(*sub, flags->model);
  AddSystemFlag(*sub, flags->model);
  AddProblemFlags(*sub, flags->problems);
  sub->add_option("--samples", flags->eval.samples, "sampled responses per problem")
      ->check(CLI::Range(1, 1 << 20))->capture_default_str();
  sub->add_option("--refusal", flags->eval.refusal,
                  "text that makes a response a refusal (\"I don't know\"); then tells accuracy among those answered");
  sub->add_option("--output", flags->output, "file for the scores, a JSON object per problem");
  AddSamplingFlags(*sub, flags->sampling);
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
