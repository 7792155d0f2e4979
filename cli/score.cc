// Apache-2.0. pivotal score
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "cli/console.h"
#include "cli/flags.h"
#include "experiments/score_run.h"

namespace pivotal::cli {
namespace {

void Run(const experiments::ScoreSettings& settings) {
  ConsoleProgress progress;
  const auto summary = experiments::ScoreFile(settings, progress);
  fmt::print("{} lines, {} completion tokens", summary.lines, summary.tokens);
  if (summary.tokens > 0)
    fmt::print(", perplexity {:.4f}", std::exp(-summary.logprob / static_cast<double>(summary.tokens)));
  fmt::print("; in {}\n", settings.output.string());
}

}  // namespace

void AddScore(CLI::App& app) {
  auto* sub = app.add_subcommand("score", "Log-probabilities of given completions, token by token");
  auto settings = std::make_shared<experiments::ScoreSettings>();
  AddModelFlags(*sub, settings->model);
  sub->add_option("--input", settings->input,
                  "a JSON object per line: prompt and completion (text or messages), or prompt_ids and "
                  "completion_ids")
      ->required();
  sub->add_option("--output", settings->output,
                  "the same lines with completion_ids and logprobs (natural log, temperature 1)")
      ->required();
  sub->add_option("--batch-tokens", settings->batch_tokens, "tokens that go through the model at once")
      ->check(CLI::Range(1, 1 << 24))->capture_default_str();
  sub->callback([settings] { Run(*settings); });
}

}  // namespace pivotal::cli
