// Apache-2.0. pivotal eval
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "cli/patient_threads.h"
#include "cli/standard_input.h"
#include "data/base/error.h"
#include "data/base/file_sink.h"
#include "data/base/json_input.h"
#include "experiments/evaluate/accuracy.h"
#include "experiments/search/run_config.h"

namespace pivotal::cli {
namespace {

using nlohmann::ordered_json;

struct EvalFlags {
  experiments::RunConfig config;  // the part that has nothing to do with a search
  experiments::EvalOptions eval;
  std::filesystem::path output, settings;  // `settings` of --config
  bool json = false, force = false;
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

std::string SummaryJson(const experiments::Accuracy& accuracy, const EvalFlags& flags) {
  const auto mean = [](const experiments::MeanInterval& value) {
    return ordered_json{{"mean", value.mean}, {"low", value.low}, {"high", value.high}};
  };
  ordered_json object = {{"problems", accuracy.problems.size()},
                         {"samples", flags.eval.samples},
                         {"sampled", mean(accuracy.Sampled())},
                         {"greedy", mean(accuracy.Greedy())}};
  if (!flags.eval.refusal.empty()) {
    object["answered"] = mean(accuracy.Answered());
    object["right_of_answered"] = mean(accuracy.RightOfAnswered());
  }
  object["failed_verdicts"] = accuracy.verdicts.Failed();
  object["generated_tokens"] = accuracy.counters.decoded_tokens;
  object["seconds"] = accuracy.counters.seconds;
  if (!flags.output.empty()) object["output"] = flags.output.string();
  return data::JsonLine(object);
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
    data::RequireOutput(flags.output, flags.force, {flags.config.problems.file, flags.settings});
    file.emplace(flags.output);
  }
  ConsoleProgress progress;
  const auto accuracy =
      experiments::EvaluateFile(flags.config.model, flags.config.problems, flags.config.sampling,
                                flags.eval, progress, file ? &*file : nullptr, flags.config.served);
  PrintResult(flags.json ? SummaryJson(accuracy, flags) : SummaryText(accuracy, flags.eval));
  if (file) Save(accuracy, *file);
}

}  // namespace

void AddEval(CLI::App& app) {
  auto* sub = app.add_subcommand("eval", "Measure a model's accuracy on a problem file");
  auto flags = std::make_shared<EvalFlags>();
  AddModelFlags(*sub, flags->config.model);
  AddServedFlags(*sub, flags->config.served, flags->config.model);
  AddSystemFlag(*sub, flags->config.model);
  AddProblemFlags(*sub, flags->config.problems);
  Under(*sub, group::kSampling);
  sub->add_option("--samples", flags->eval.samples,
                  "number of responses that are sampled to each problem; one more, at temperature "
                  "0, is always added")
      ->check(Whole(1, 1 << 20))
      ->capture_default_str();
  Under(*sub, group::kOracle);
  sub->add_option("--refusal", flags->eval.refusal,
                  "text that makes a response a refusal, e.g. \"I don't know\"; adds the accuracy "
                  "among responses that are no refusals; refusing is right where an answer of a "
                  "problem holds the text");
  Under(*sub, group::kOutput);
  sub->add_option("--output", flags->output,
                  "file to write the scores to, one JSON object per problem")
      ->type_name("FILE");
  AddSamplingFlags(*sub, flags->config.sampling);
  AddForceFlag(*sub, flags->force);
  AddJsonFlag(*sub, flags->json);
  AddConfigFlag(*sub, flags->settings, "run.toml, whose section [search] means nothing here");
  sub->get_option("--problems")->required(false);  // a settings file may say it
  SetHelp(*sub, {"--model FOLDER --problems FILE [OPTIONS]",
                 {"--model", "--adapter", "--policy", "--problems", "--dataset", "--limit",
                  "--oracle", "--samples", "--temperature", "--max-new-tokens", "--output"},
                 {{"accuracy on the test set of GSM8K, with the score of each problem in a file",
                   "eval --model microsoft/Phi-4-mini-instruct --problems openai/gsm8k --output "
                   "scores.jsonl"},
                  {"accuracy of an adapter at temperature 0 and over 8 sampled responses",
                   "eval --model phi-4-mini --adapter tuned --problems test.jsonl --samples 8"}},
                 "docs/training.md"});
  sub->callback([flags, sub] {
    bool knows_oracle = false;
    if (!flags->settings.empty()) {
      knows_oracle = experiments::ApplyRunSettings(flags->settings, flags->config);
      ApplyFlagsAgain(*sub);
      FindModels(flags->config.model, !flags->config.served.urls.empty());
    }
    if (flags->config.problems.file.empty()) throw CLI::RequiredError("--problems");
    CheckServedFlags(*sub, flags->config.served, flags->config.model);
    UsePatientThreads();
    WithStandardInput(flags->config.problems.file, [&](bool) {
      UseDataset(*sub, flags->config.problems, "test", knows_oracle);
      RunEval(*flags);
    });
  });
}

}  // namespace pivotal::cli
