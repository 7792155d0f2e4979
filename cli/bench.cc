// Apache-2.0. pivotal bench
#include <memory>

#include "cli/checks.h"
#include "cli/console.h"
#include "cli/flags.h"
#include "cli/help.h"
#include "experiments/evaluate/rollout_bench.h"

namespace pivotal::cli {

void AddBench(CLI::App& app) {
  struct Flags {
    ModelSettings model;
    SamplingSettings sampling;
    experiments::RolloutBenchSettings bench;
  };
  auto* bench = app.add_subcommand("bench", "Measure speed and memory on this machine");
  bench->require_subcommand(1);
  auto* sub = bench->add_subcommand(
      "rollouts",
      "Time the rollouts of a random prompt, or of random trunks that rollouts leave at many "
      "places; nothing but its length ends a response");
  auto flags = std::make_shared<Flags>();
  auto& settings = flags->bench;
  const CLI::Validator count = Whole(1, 1 << 20);
  AddModelFlags(*sub, flags->model);
  sub->add_option("--sequences", settings.sequences, "number of rollouts of the prompt")
      ->check(count)
      ->capture_default_str();
  sub->add_option("--prompt-tokens", settings.prompt_tokens, "length of the prompt, in tokens")
      ->check(count)
      ->capture_default_str();
  sub->add_option("--new-tokens", settings.new_tokens,
                  "length of each rollout, in tokens; with --trunks a random length from 1 to "
                  "twice as many")
      ->check(count)
      ->capture_default_str();
  auto* trunks =
      sub->add_option("--trunks", settings.trunks,
                      "number of trunks that rollouts leave; they take the place of the prompt")
          ->check(count);
  const auto of_trunks = [&](const char* name, int32_t& value, const char* help) {
    sub->add_option(name, value, help)->check(count)->capture_default_str()->needs(trunks);
  };
  of_trunks("--trunk-tokens", settings.trunk_tokens, "length of each trunk, in tokens");
  of_trunks("--leaves", settings.leaves,
            "number of places in the last three quarters of each trunk where rollouts leave it");
  of_trunks("--rollouts", settings.rollouts, "number of rollouts that leave a trunk at each place");
  sub->add_option("--repeats", settings.repeats, "number of runs, whose median is shown")
      ->check(count)
      ->capture_default_str();
  sub->add_option("--threads", settings.threads, "number of threads; 0: as many as LibTorch takes")
      ->check(Whole(0, 4096))
      ->capture_default_str();
  AddSamplingFlags(*sub, flags->sampling);
  sub->remove_option(sub->get_option("--max-new-tokens"));
  sub->add_flag("!--no-compare", settings.compare,
                "do not measure how far --weights changes log-probabilities, which stores the "
                "model a second time");
  sub->add_flag("--json", settings.json, "print one JSON object");
  SetHelp(*sub, {"--model FOLDER [OPTIONS]",
                 {"--model", "--device", "--dtype", "--sequences", "--prompt-tokens",
                  "--new-tokens", "--repeats", "--threads", "--batch", "--weights", "--json"},
                 {{"time 256 rollouts with weights in 8 bits",
                   "bench rollouts --model phi-4-mini --sequences 256 --weights int8"},
                  {"time rollouts that leave 8 responses at many places, as a search has them",
                   "bench rollouts --model phi-4-mini --trunks 8 --json"}},
                 "docs/scaling.md"});
  SetProgramHelp(*bench);
  sub->callback([flags] {
    ConsoleProgress progress;
    PrintResult(experiments::BenchRollouts(flags->model, flags->sampling, flags->bench, progress));
  });
}

}  // namespace pivotal::cli
