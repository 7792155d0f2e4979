// Apache-2.0. Speed of the CPU kernels on one thread, in floating-point operations and in bytes per
// second, to compare with the limits of the CPU. (AVX2 can do 32 operations per cycle. Bytes count
// each weight, key and value once.)
#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/philox.h"

namespace pivotal::kernels {
namespace {

std::vector<float> Random(int64_t count) {
  RandomStream random(1, 1);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = static_cast<float>(2 * random.Uniform() - 1);
  return values;
}

// Numbers in NF4.
struct Nf4Memory {
  explicit Nf4Memory(const std::vector<float>& numbers) {
    view.size = static_cast<int64_t>(numbers.size());
    codes.resize(numbers.size() / 2 + 1);
    scales.resize(static_cast<std::size_t>(view.Blocks()));
    largest.resize(scales.size());
    group_scales.resize(static_cast<std::size_t>(view.Groups()));
    Kernels().quantise_nf4(
        {view.size, ElementType::kFloat32, numbers.data(), codes.data(), largest.data()}, 0,
        view.Blocks());
    QuantiseNf4Scales(largest.data(), view.Blocks(), scales.data(), group_scales.data(),
                      &view.offset);
    view.codes = codes.data();
    view.scales = scales.data();
    view.group_scales = group_scales.data();
    view.map = MomentTablesOnCpu().first;
  }
  std::vector<uint8_t> codes, scales;
  std::vector<float> largest, group_scales;
  Nf4Codes view;
};

void Report(benchmark::State& state, double flops, double bytes) {
  using benchmark::Counter;
  state.counters["flops"] =
      Counter(flops * static_cast<double>(state.iterations()), Counter::kIsRate);
  state.counters["bytes"] =
      Counter(bytes * static_cast<double>(state.iterations()), Counter::kIsRate, Counter::kIs1024);
  state.counters["flops/byte"] = flops / bytes;
}

// The arguments are rows, outputs and inputs.
void BM_Matmul(benchmark::State& state, WeightType type) {
  const int64_t rows = state.range(0), outputs = state.range(1), inputs = state.range(2);
  const auto weights = Random(outputs * inputs), x = Random(rows * inputs);
  PackedMatrix packed(outputs, inputs, type);
  if (type == WeightType::kNf4) {
    const Nf4Memory nf4(weights);
    for (int64_t panel = 0; panel < packed.panels(); ++panel) {
      std::vector<Nf4Row> rows;
      for (int64_t n = panel * kPanel; n < (panel + 1) * kPanel; ++n)
        rows.push_back({&nf4.view, n});
      packed.SetNf4Panel(panel, rows);
    }
  } else {
    packed.SetRows(0, outputs, weights.data());
  }
  std::vector<float> y(static_cast<std::size_t>(rows * packed.padded_outputs()));
  for (auto _ : state) {
    Kernels().matmul({x.data(), inputs, rows, &packed, y.data(), packed.padded_outputs(), false, 0,
                      packed.panels()});
    benchmark::DoNotOptimize(y.data());
  }
  Report(state, 2.0 * static_cast<double>(rows * outputs * inputs),
         static_cast<double>(packed.bytes()));
}
void Shapes(benchmark::internal::Benchmark* bench) {
  for (const int64_t rows : {1, 8, 32, 64})
    for (const auto& [outputs, inputs] : std::vector<std::pair<int64_t, int64_t>>{
             {1024, 192}, {192, 512}, {4096, 768}, {768, 2048}})
      bench->Args({rows, outputs, inputs});
}
BENCHMARK_CAPTURE(BM_Matmul, fp32, WeightType::kFloat32)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_Matmul, bf16, WeightType::kBfloat16)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_Matmul, int8, WeightType::kInt8)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_Matmul, nf4, WeightType::kNf4)->Apply(Shapes);

// Numbers from and to NF4, [numbers].
void BM_QuantiseNf4(benchmark::State& state) {
  const auto numbers = Random(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(Nf4Memory(numbers).codes.data());
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_QuantiseNf4)->Arg(1 << 20);
void BM_DequantiseNf4(benchmark::State& state, ElementType type) {
  const Nf4Memory nf4(Random(state.range(0)));
  std::vector<float> out(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    Kernels().dequantise_nf4(nf4.view, type, out.data(), 0, nf4.view.Blocks());
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(BM_DequantiseNf4, fp32, ElementType::kFloat32)->Arg(1 << 20);
BENCHMARK_CAPTURE(BM_DequantiseNf4, bf16, ElementType::kBfloat16)->Arg(1 << 20);

// Computes a tile of rows that begin with a trunk of range(0) tokens and have range(1) tokens of
// their own each.
void BM_Attention(benchmark::State& state) {
  AttentionShape shape{.heads = 12, .kv_heads = 4, .head_dim = 64, .scale = 0.125f};
  const auto trunk = static_cast<int32_t>(state.range(0)),
             own = static_cast<int32_t>(state.range(1));
  const int64_t rows = kTileQueries / shape.group(),
                blocks = trunk / 16 + 1 + rows * (own / 16 + 1);
  auto memory = Random(blocks * shape.block_size());
  const auto queries = Random(rows * 12 * 64);
  std::vector<float> out(queries.size());
  const KvLayer layer{&shape, memory.data()};
  std::vector<int32_t> order(static_cast<std::size_t>(blocks));
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  std::vector<KvPiece> pieces;
  for (int64_t r = 0; r < rows; ++r) {
    pieces.push_back({order.data(), trunk});
    pieces.push_back({order.data() + trunk / 16 + 1 + r * (own / 16 + 1), own});
  }
  std::vector<AttentionRow> tile;
  for (int64_t r = 0; r < rows; ++r)
    tile.push_back(
        {queries.data() + r * 768, out.data() + r * 768, pieces.data() + 2 * r, 2, trunk + own});
  std::vector<float> workspace(static_cast<std::size_t>(AttentionWorkspace(shape, trunk + own)));
  for (auto _ : state) {
    Kernels().attend({&shape, &layer, tile.data(), rows, 0, workspace.data()});
    benchmark::DoNotOptimize(out.data());
  }
  Report(state, 4.0 * 64 * static_cast<double>(rows * shape.group() * (trunk + own)),
         8.0 * 64 * static_cast<double>(trunk + rows * own));
}
BENCHMARK(BM_Attention)->Args({64, 32})->Args({300, 32})->Args({300, 200})->Args({2000, 32});

}  // namespace
}  // namespace pivotal::kernels
