// Apache-2.0. Speed of sampling one token from a row of logits, by vocabulary and filters.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "kernels/philox.h"
#include "kernels/sample_row.h"

namespace pivotal::kernels {
namespace {

void BM_SampleRow(benchmark::State& state, SamplingParams params) {
  RandomStream random(1, 1);
  std::vector<float> logits(static_cast<std::size_t>(state.range(0))), weights(logits.size());
  for (float& x : logits) x = static_cast<float>(10 * random.Uniform());
  RowSampler sampler;
  for (auto _ : state) {
    std::ranges::copy(logits, weights.begin());
    sampler.Take(weights, params);
    benchmark::DoNotOptimize(sampler.Sample(random.Uniform()));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0) *
                          static_cast<int64_t>(sizeof(float)));
}
BENCHMARK_CAPTURE(BM_SampleRow, temperature, SamplingParams{})->Arg(768)->Arg(32064)->Arg(100352);
BENCHMARK_CAPTURE(BM_SampleRow, top_p, SamplingParams{.top_p = 0.95})->Arg(768)->Arg(32064);
BENCHMARK_CAPTURE(BM_SampleRow, min_p, SamplingParams{.min_p = 0.05})->Arg(768)->Arg(32064);

}  // namespace
}  // namespace pivotal::kernels
