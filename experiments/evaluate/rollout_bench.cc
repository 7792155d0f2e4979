// Apache-2.0.
#include "experiments/evaluate/rollout_bench.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "data/base/error.h"
#include "experiments/settings/loading.h"
#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"
#include "model/decode_products.h"
#include "model/memory.h"
#include "model/rollout_engine.h"
#include "pivotal/policy.h"

namespace pivotal::experiments {
namespace {

constexpr uint64_t kSeed = 1;

struct BenchRun {
  double seconds = 0;
  RolloutCounters counters;
  std::optional<model::DeviceTimes> device;
  double tokens_per_second() const {
    return static_cast<double>(counters.decoded_tokens) / seconds;
  }
};

struct Bench {
  std::vector<BenchRun> runs;
  std::string isa;  // instruction set of the kernels on a CPU, or the name of the device
  int threads = 1;
  int64_t weight_bytes = 0;  // bytes of weights that decoding reads
  int64_t peak_rss = 0;      // largest resident memory of the process, in bytes
  // |Change| of the log-probability of sampled tokens from the model's own weights to a storage
  // type, over `compared` tokens.
  double mean_change = 0, largest_change = 0;
  int64_t compared = 0;
  int32_t batch = 0, prefill_tokens = 0;
  // Of a decode step's products alone, with as many rows as the median run's steps have on average;
  // none on a CPU.
  std::optional<double> products_seconds;

  // Returns the run with the median time.
  const BenchRun& Median() const {
    std::vector<const BenchRun*> order;
    for (const BenchRun& run : runs) order.push_back(&run);
    std::ranges::sort(order, {}, [](const BenchRun* run) { return run->seconds; });
    return *order[order.size() / 2];
  }
};

// Returns the mean number of rows of a step.
int64_t RowsOfStep(const model::DeviceTimes& times) {
  return (times.rows + times.steps / 2) / times.steps;
}

// How a step's time on a GPU compares with its products alone, in milliseconds.
struct StepShares {
  double step, idle, products = 0, share = 0;
};
StepShares SharesOf(const model::DeviceTimes& times, std::optional<double> products_seconds) {
  const auto steps = static_cast<double>(times.steps);
  StepShares shares{1e3 * times.step_seconds / steps, 1e3 * times.idle_seconds / steps};
  if (products_seconds) shares.products = 1e3 * *products_seconds;
  shares.share = shares.products / (shares.step + shares.idle);
  return shares;
}

void Require(bool good, const char* name, int32_t value) {
  if (!good) Fail("{} must be at least 1, got {}", name, value);
}

std::vector<TokenId> RandomTokens(int32_t count, uint64_t stream, int64_t vocab) {
  kernels::RandomStream random(kSeed, stream);
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.push_back(static_cast<TokenId>(random.Below(vocab)));
  return tokens;
}

std::vector<RolloutRequest> Requests(const RolloutBenchSettings& s, int64_t vocab) {
  if (s.trunks == 0)
    return {{RandomTokens(s.prompt_tokens, 0, vocab), s.sequences, s.new_tokens, /*stream=*/1, 0}};
  std::vector<RolloutRequest> requests;
  kernels::RandomStream random(kSeed, kernels::MixStream(0, "lengths"));
  for (int32_t t = 0; t < s.trunks; ++t) {
    const auto trunk = RandomTokens(s.trunk_tokens, static_cast<uint64_t>(t), vocab);
    const int32_t first = s.trunk_tokens / 4;
    for (int32_t leaf = 0; leaf < s.leaves; ++leaf) {
      const int32_t length = std::max(1, first + (s.trunk_tokens - first) * (leaf + 1) / s.leaves);
      for (int32_t r = 0; r < s.rollouts; ++r)
        requests.push_back(
            {{trunk.begin(), trunk.begin() + length},
             1,
             static_cast<int32_t>(1 + random.Below(2 * s.new_tokens)),
             kernels::MixStream(static_cast<uint64_t>(t), static_cast<uint64_t>(leaf)),
             static_cast<uint32_t>(r)});
    }
  }
  return requests;
}

// Returns a model of the same weights in which no token ends a response.
model::PhiModel Endless(const LoadedModel& model) {
  model::PhiConfig config = model.phi().config();
  config.eos_token_ids.clear();
  model::PhiModel endless(config, model.phi().parameters(), model.checkpoint.folder.string(),
                          model.phi().quantised());
  endless.set_adapter(model.phi().adapter());
  return endless;
}

void CompareLogProbs(const model::PhiModel& phi, const model::EngineOptions& options,
                     const RolloutRequest& request, const Rollout& rollout, Bench& bench) {
  model::RolloutEngine exact(phi, options);
  const auto scores = exact.Score(request.prefix, rollout.tokens);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const double change = std::fabs(static_cast<double>(scores[i].logprob) - rollout.logprobs[i]);
    bench.mean_change += change / static_cast<double>(scores.size());
    bench.largest_change = std::max(bench.largest_change, change);
  }
  bench.compared = static_cast<int64_t>(scores.size());
}

Bench Measure(const LoadedModel& model, const SamplingSettings& sampling,
              const RolloutBenchSettings& settings, Progress& progress) {
  const model::PhiModel phi = Endless(model);
  const auto requests = Requests(settings, phi.config().vocab_size);
  SamplingSettings asked = sampling;
  asked.max_new_tokens = settings.trunks == 0 ? settings.new_tokens : 2 * settings.new_tokens;
  model::EngineOptions options = EngineOptionsOf(asked, model);
  options.timed = true;
  SamplingSettings as_loaded = sampling;
  as_loaded.weights = "auto";
  Bench bench;
  bench.batch = options.batch;
  bench.prefill_tokens = options.prefill_tokens;
  const c10::Device device = phi.options().device();
  bench.isa = device.is_cpu() ? kernels::IsaName(kernels::Kernels().isa) : device.str();
  progress.Begin("rollouts", settings.repeats, "runs");
  Rollout first;
  for (int32_t i = 0; i < settings.repeats; ++i) {
    model::RolloutEngine engine(phi, options);
    const auto start = std::chrono::steady_clock::now();
    first = engine.Sample(requests, progress)[0][0];
    bench.runs.push_back(
        {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
         engine.counters(), engine.decoder().device_times()});
    bench.threads = engine.decoder().threads();
    bench.weight_bytes = static_cast<int64_t>(engine.decoder().weight_bytes());
    if (bench.weight_bytes == 0) bench.weight_bytes = phi.WeightBytes();
    progress.Update(i + 1, "");
  }
  progress.End();
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  bench.peak_rss = usage.ru_maxrss * 1024;
  if (const auto& device_times = bench.Median().device)
    bench.products_seconds = model::ProductsSeconds(phi, RowsOfStep(*device_times), /*repeats=*/7);
  // On a GPU there are no other weights to compare with.
  if (settings.compare && sampling.weights != "auto" && device.is_cpu())
    CompareLogProbs(phi, EngineOptionsOf(as_loaded, model), requests[0], first, bench);
  return bench;
}

std::string JsonText(const Bench& bench, const RolloutBenchSettings& settings) {
  const BenchRun& run = bench.Median();
  const RolloutCounters& c = run.counters;
  nlohmann::ordered_json json;
  json["tokens_per_second"] = run.tokens_per_second();
  for (const BenchRun& each : bench.runs) json["runs"].push_back(each.tokens_per_second());
  json["seconds"] = run.seconds;
  json["peak_rss_mb"] = static_cast<double>(bench.peak_rss) / 1e6;
  json["isa"] = bench.isa;
  json["threads"] = bench.threads;
  json["weight_mb"] = static_cast<double>(bench.weight_bytes) / 1e6;
  json["tokens"] = {{"decoded", c.decoded_tokens},
                    {"prefilled", c.prefilled_tokens},
                    {"reused", c.reused_tokens},
                    {"repeated", c.repeated_tokens},
                    {"discarded", c.discarded_tokens}};
  json["prefill_seconds"] = c.prefill_seconds;
  json["decode_seconds"] = c.decode_seconds;
  json["batch"] = bench.batch;
  json["prefill_pass"] = bench.prefill_tokens;
  if (run.device) {
    const StepShares shares = SharesOf(*run.device, bench.products_seconds);
    json["device"] = {{"steps", run.device->steps},
                      {"rows", RowsOfStep(*run.device)},
                      {"step_ms", shares.step},
                      {"idle_ms", shares.idle},
                      {"prefill_seconds", run.device->other_seconds}};
    if (bench.products_seconds) {
      json["device"]["products_ms"] = shares.products;
      json["device"]["products_share"] = shares.share;
    }
  }
  json["thread_seconds"] = {{"products", c.times.products},
                            {"attention", c.times.attention},
                            {"sampling", c.times.sampling},
                            {"rest", c.times.rest}};
  if (bench.compared > 0)
    json["logprob_change"] = {
        {"mean", bench.mean_change}, {"largest", bench.largest_change}, {"tokens", bench.compared}};
  json["work"] = {
      {"sequences", settings.sequences},       {"prompt_tokens", settings.prompt_tokens},
      {"new_tokens", settings.new_tokens},     {"trunks", settings.trunks},
      {"trunk_tokens", settings.trunk_tokens}, {"leaves", settings.leaves},
      {"rollouts", settings.rollouts}};
  return json.dump(2);
}

std::string PlainText(const Bench& bench) {
  const BenchRun& run = bench.Median();
  const RolloutCounters& c = run.counters;
  std::string text;
  const auto line = [&]<typename... T>(const char* name, fmt::format_string<T...> format,
                                       T&&... values) {
    text += fmt::format("{:<24} ", name);
    fmt::format_to(std::back_inserter(text), format, std::forward<T>(values)...);
    text += '\n';
  };
  line("tokens per second", "{:.0f} in {:.2f} s", run.tokens_per_second(), run.seconds);
  line("tokens", "{} decoded, {} prefilled, {} reused, {} repeated", c.decoded_tokens,
       c.prefilled_tokens, c.reused_tokens, c.repeated_tokens);
  line("time", "{:.1f}% decode, {:.1f}% prefill", 100 * c.decode_seconds / run.seconds,
       100 * c.prefill_seconds / run.seconds);
  const double total = c.times.total();
  const auto percent = [&](double seconds) { return 100 * seconds / total; };
  if (total > 0)
    line("threads' time", "{:.1f}% products, {:.1f}% attention, {:.1f}% sampler, {:.1f}% the rest",
         percent(c.times.products), percent(c.times.attention), percent(c.times.sampling),
         percent(c.times.rest));
  if (run.device) {
    const StepShares shares = SharesOf(*run.device, bench.products_seconds);
    line("a step on the device", "{:.2f} ms for {} rows, then {:.2f} ms idle", shares.step,
         RowsOfStep(*run.device), shares.idle);
    if (bench.products_seconds)
      line("its products alone", "{:.2f} ms, {:.0f}% of a step with the time after it",
           shares.products, 100 * shares.share);
  }
  line("batch", "{} rollouts; prefixes by {} tokens", bench.batch, bench.prefill_tokens);
  line("on", "{} threads, {}, weights {}, peak of the process {}", bench.threads, bench.isa,
       model::BytesText(bench.weight_bytes), model::BytesText(bench.peak_rss));
  if (bench.compared > 0)
    line("log-probabilities change", "{:.4f} mean, {:.4f} largest, over {} tokens",
         bench.mean_change, bench.largest_change, bench.compared);
  return text;
}

}  // namespace

void RolloutBenchSettings::Validate() const {
  Require(sequences >= 1, "sequences", sequences);
  Require(prompt_tokens >= 1, "prompt tokens", prompt_tokens);
  Require(new_tokens >= 1, "new tokens", new_tokens);
  Require(trunk_tokens >= 1, "trunk tokens", trunk_tokens);
  Require(leaves >= 1, "leaves", leaves);
  Require(rollouts >= 1, "rollouts", rollouts);
  Require(repeats >= 1, "repeats", repeats);
}

std::string BenchRollouts(const ModelSettings& model, const SamplingSettings& sampling,
                          const RolloutBenchSettings& settings, Progress& progress) {
  settings.Validate();
  if (settings.threads > 0) at::set_num_threads(settings.threads);
  const Bench bench = Measure(LoadForRollouts(model, sampling), sampling, settings, progress);
  return settings.json ? JsonText(bench, settings) + "\n" : PlainText(bench);
}

}  // namespace pivotal::experiments
