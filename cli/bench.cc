// Apache-2.0. pivotal bench
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <memory>
#include <thread>

#include "cli/console.h"
#include "cli/flags.h"
#include "experiments/rollout_bench.h"
#include "model/footprint.h"

namespace pivotal::cli {
namespace {

struct Flags {
  experiments::ModelSettings model;
  experiments::SamplingSettings sampling;
  experiments::RolloutBenchSettings bench;
  int threads = 0;
  bool json = false;
};

void Print(const experiments::RolloutBench& bench) {
  const auto& run = bench.Median();
  const model::RolloutCounters& c = run.counters;
  const auto share = [&](double seconds) { return 100 * seconds / c.times.total(); };
  fmt::print("{:<24} {:.0f} in {:.2f} s\n", "tokens per second", run.tokens_per_second(), run.seconds);
  fmt::print("{:<24} {} decoded, {} prefilled, {} reused, {} repeated\n", "tokens", c.decoded_tokens,
             c.prefilled_tokens, c.reused_tokens, c.repeated_tokens);
  fmt::print("{:<24} {:.1f}% decode, {:.1f}% prefill\n", "time", 100 * c.decode_seconds / run.seconds,
             100 * c.prefill_seconds / run.seconds);
  if (c.times.total() > 0)
    fmt::print("{:<24} {:.1f}% products, {:.1f}% attention, {:.1f}% sampler, {:.1f}% the rest\n", "threads' time",
               share(c.times.products), share(c.times.attention), share(c.times.sampling), share(c.times.rest));
  fmt::print("{:<24} {} threads, {}, weights {}, peak of the process {}\n", "on", bench.threads, bench.isa,
             model::BytesText(bench.weight_bytes), model::BytesText(bench.peak_rss));
  if (bench.compared > 0)
    fmt::print("{:<24} {:.4f} mean, {:.4f} largest, over {} tokens\n", "log-probabilities change", bench.mean_change,
               bench.largest_change, bench.compared);
}

void Run(Flags& flags) {
  if (flags.threads > 0) at::set_num_threads(flags.threads);
  const auto model = experiments::LoadModel(flags.model, model::WeightUse::kRollouts);
  ConsoleProgress progress;
  const auto bench = experiments::BenchRollouts(model, flags.sampling, flags.bench, progress);
  if (flags.json) {
    fmt::print("{}\n", experiments::ToJson(bench, flags.bench));
  } else {
    Print(bench);
  }
}

}  // namespace

void AddBench(CLI::App& app) {
  auto* bench = app.add_subcommand("bench", "Measure speed and memory on this machine");
  bench->require_subcommand(1);
  auto* sub = bench->add_subcommand(
      "rollouts", "Rollouts of random prompts, or of random trunks that they leave at many places; responses end "
                  "by their length alone");
  auto flags = std::make_shared<Flags>();
  auto& settings = flags->bench;
  const CLI::Range count(1, 1 << 20);
  AddModelFlags(*sub, flags->model);
  sub->add_option("--sequences", settings.sequences, "rollouts of one prompt")->check(count)->capture_default_str();
  sub->add_option("--prompt-tokens", settings.prompt_tokens, "of the prompt")->check(count)->capture_default_str();
  sub->add_option("--new-tokens", settings.new_tokens, "of each rollout; with --trunks, 1 to twice as many")
      ->check(count)->capture_default_str();
  auto* trunks = sub->add_option("--trunks", settings.trunks, "in place of the prompt: trunks that rollouts leave")
      ->check(count);
  const auto of_trunks = [&](const char* name, int32_t& value, const char* help) {
    sub->add_option(name, value, help)->check(count)->capture_default_str()->needs(trunks);
  };
  of_trunks("--trunk-tokens", settings.trunk_tokens, "of each trunk");
  of_trunks("--leaves", settings.leaves, "places of each trunk, in its last three quarters");
  of_trunks("--rollouts", settings.rollouts, "that leave at each place");
  sub->add_option("--repeats", settings.repeats, "runs, of which the median is shown")->check(count)
      ->capture_default_str();
  sub->add_option("--threads", flags->threads, "0: as many as LibTorch takes")->check(CLI::Range(0, 4096))
      ->capture_default_str();
  AddSamplingFlags(*sub, flags->sampling);
  sub->remove_option(sub->get_option("--max-new-tokens"));
  sub->add_flag("!--no-compare", settings.compare,
                "leave out how far --weights moves log-probabilities, for which the model is stored once more");
  sub->add_flag("--json", flags->json, "one JSON object");
  sub->callback([flags] { Run(*flags); });
}

}  // namespace pivotal::cli
