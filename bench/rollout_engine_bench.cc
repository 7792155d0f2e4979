// Apache-2.0. Speed of rollouts of the tiny model in tokens per second, by batch size.
#include <benchmark/benchmark.h>

#include "model/checkpoint.h"
#include "model/rollout_engine.h"

namespace pivotal::model {
namespace {

void BM_Rollouts(benchmark::State& state) {
  static const Checkpoint checkpoint = LoadCheckpoint(PIVOTAL_TINY_MODEL, at::kCPU, at::kFloat);
  EngineOptions options;
  options.batch = static_cast<int32_t>(state.range(0));
  RolloutEngine engine(*checkpoint.model, options);
  RolloutRequest request;
  request.prefix = checkpoint.tokenizer->Encode(
      "Question: Tom has 8 boxes with 47 coins in each box "
      "and finds 25 more coins. How many coins?\nAnswer:");
  request.count = 2 * options.batch;
  request.max_new_tokens = 64;
  for (auto _ : state) benchmark::DoNotOptimize(engine.Sample({&request, 1}, Progress()));
  state.counters["tokens/s"] = benchmark::Counter(
      static_cast<double>(engine.counters().decoded_tokens), benchmark::Counter::kIsRate);
}
BENCHMARK(BM_Rollouts)
    ->Arg(1)
    ->Arg(16)
    ->Arg(64)
    ->Arg(256)
    ->Arg(512)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace pivotal::model
