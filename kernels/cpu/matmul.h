// Apache-2.0. Matrix products with packed weights. Each element of the result is one chain of fused
// multiply-adds over the inputs in order, so it depends neither on tiles nor on threads.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/cpu_kernels.h"
#include "kernels/packed_matrix.h"

namespace pivotal::kernels {
namespace {

constexpr int kPanelVecs = kPanel / kLanes;
// Largest number of rows of a tile, chosen so that the sums of a tile stay in registers.
constexpr int kTileRows = kLanes == 16 ? 8 : kLanes == 8 ? 6 : 2;
// Panels and inputs of a block of weights that stays in the first-level cache while many rows are
// multiplied with it.
constexpr int64_t kGroup = kLanes == 16 ? 2 : 1;
constexpr int64_t kDepth = 256 / kGroup;

// Which scale a weight has: none, that of its output, or that of its output and of its block of
// kNf4Block inputs.
enum class Scaled { kNot, kByOutput, kByBlock };

// Elements of W in a panel for one input.
template <typename W>
constexpr int64_t kPerInput = std::is_same_v<W, Nf4Byte> ? kPanel / 2 : kPanel;

// Loads the weights of outputs kLanes v.. of a panel for the input at p.
template <typename W>
inline Vec LoadPanel(const W* p, int v) {
  if constexpr (std::is_same_v<W, Nf4Byte>) {
    return LoadNf4(p, v * kLanes);
  } else {
    return LoadWeights(p + v * kLanes);
  }
}

// Adds a[m][k] b[p][k][n], times `factor` if kScaled, to `sum` for k from `begin` to `end`.
template <Scaled kScaled, int M, int P, typename W>
[[gnu::always_inline]] inline void Accumulate(const float* const* a, const W* const* b,
                                              int64_t begin, int64_t end,
                                              const Vec (&factor)[P][kPanelVecs],
                                              Vec (&sum)[M][P][kPanelVecs]) {
  const auto weight = [&](int64_t k, int p, int v) {
    const Vec stored = LoadPanel(b[p] + k * kPerInput<W>, v);
    return kScaled == Scaled::kNot ? stored : stored * factor[p][v];
  };
  for (int64_t k = begin; k < end; ++k) {
    if constexpr (M == 1) {  // each weight is used once, and takes no register of its own
      const Vec x = Broadcast(a[0][k]);
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
        for (int v = 0; v < kPanelVecs; ++v) sum[0][p][v] = Fma(x, weight(k, p, v), sum[0][p][v]);
    } else {
      Vec weights[P][kPanelVecs];
#pragma GCC unroll 16
      for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
        for (int v = 0; v < kPanelVecs; ++v) weights[p][v] = weight(k, p, v);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const Vec x = Broadcast(a[m][k]);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
          for (int v = 0; v < kPanelVecs; ++v) sum[m][p][v] = Fma(x, weights[p][v], sum[m][p][v]);
      }
    }
  }
}

// Computes c[m][16 p + n] = sum_k a[m][k] b[p][k][n] for M rows, P panels and n < 16, starting from
// c if `add`. Each weight is multiplied by its scale first: scale[scales p + n], or with kByBlock
// scale[scales p + 16 (k / kNf4Block) + n]. (A function of its own, so that all registers are for
// the sums.)
template <int M, int P, Scaled kScaled, typename W>
[[gnu::noinline]] void Tile(const float* const* a, const W* const* b, int64_t depth,
                            const float* scale, int64_t scales, float* const* c, bool add) {
  Vec sum[M][P][kPanelVecs];
  Vec factor[P][kPanelVecs];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int v = 0; v < kPanelVecs; ++v)
        sum[m][p][v] = add ? Load(c[m] + p * kPanel + v * kLanes) : Zero();
  const auto load_scales = [&](int64_t k) {
    for (int p = 0; p < P; ++p)
      for (int v = 0; v < kPanelVecs; ++v)
        factor[p][v] = Load(scale + p * scales + k / kNf4Block * kPanel + v * kLanes);
  };
  if constexpr (kScaled == Scaled::kByBlock) {
    for (int64_t k = 0; k < depth; k += kNf4Block) {
      load_scales(k);
      Accumulate<kScaled>(a, b, k, k + kNf4Block, factor, sum);
    }
  } else {
    if constexpr (kScaled == Scaled::kByOutput) load_scales(0);
    Accumulate<kScaled>(a, b, 0, depth, factor, sum);
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 16
      for (int v = 0; v < kPanelVecs; ++v) Store(c[m] + p * kPanel + v * kLanes, sum[m][p][v]);
}

// Panels of a tile of M rows: enough independent sums to hide the latency of a multiply-add, and as
// many as the registers hold (32 with AVX-512), so that a tile loads less than it multiplies.
template <int M>
constexpr int kTilePanels = kLanes == 16         ? (M >= 7 ? 2 : 4)
                            : M* kPanelVecs >= 8 ? 1
                            : M* kPanelVecs >= 4 ? 2
                                                 : 4;

// Does what Tile does for 1..kTileRows rows and any number of panels; panel_at(i) returns the
// weights of panel i.
template <Scaled kScaled, int M = kTileRows, typename PanelAt>
void Rows(int64_t rows, const float* const* a, PanelAt panel_at, int64_t panels, int64_t depth,
          const float* scale, int64_t scales, float* const* c, bool add) {
  if constexpr (M > 1) {
    if (rows < M) {
      Rows<kScaled, M - 1>(rows, a, panel_at, panels, depth, scale, scales, c, add);
      return;
    }
  }
  int64_t panel = 0;
  const auto take = [&]<int P>() {
    for (; panel + P <= panels; panel += P) {
      float* at[M];
      for (int m = 0; m < M; ++m) at[m] = c[m] + panel * kPanel;
      decltype(panel_at(0)) from[P];
      for (int p = 0; p < P; ++p) from[p] = panel_at(panel + p);
      Tile<M, P, kScaled>(a, from, depth,
                          kScaled == Scaled::kNot ? nullptr : scale + panel * scales, scales, at,
                          add);
    }
  };
  constexpr int P = kTilePanels<M>;
  take.template operator()<P>();
  if constexpr (P > 2) take.template operator()<2>();
  if constexpr (P > 1) take.template operator()<1>();
}

// Calls f(first row of tile, rows of tile) for tiles of nearly equal height: with kTileRows = 6,
// 64 rows make nine tiles of 6 and two of 5, and 7 rows make tiles of 4 and 3.
template <typename F>
inline void ForTiles(int64_t first, int64_t count, F f) {
  for (int64_t done = 0; done < count;) {
    const int64_t left = count - done;
    const int64_t rows = left >= 2 * kTileRows ? kTileRows
                         : left > kTileRows    ? (left + 1) / 2
                                               : left;
    f(first + done, rows);
    done += rows;
  }
}

// Converts the weights of a panel to float32 [depth, 16]. `scale` has the scales of the first.
template <Scaled kScaled, typename W>
void Unpack(const W* panel, int64_t depth, const float* scale, float* out) {
  for (int64_t k = 0; k < depth; ++k) {
    const float* const at = kScaled == Scaled::kByBlock ? scale + k / kNf4Block * kPanel : scale;
    for (int v = 0; v < kPanelVecs; ++v) {
      Vec weights = LoadPanel(panel + k * kPerInput<W>, v);
      if constexpr (kScaled != Scaled::kNot) weights = weights * Load(at + v * kLanes);
      Store(out + k * kPanel + v * kLanes, weights);
    }
  }
}

// Adds the bias to y, or sets y to the bias if the task overwrites y.
inline void StartRows(const MatmulTask& task) {
  const PackedMatrix& w = *task.weights;
  const float* bias = w.bias();
  if (bias == nullptr) return;
  for (int64_t row = 0; row < task.rows; ++row) {
    float* y = task.y + row * task.y_stride;
    for (int64_t n = task.first_panel * kPanel; n < task.last_panel * kPanel; n += kLanes)
      Store(y + n, task.add ? Load(y + n) + Load(bias + n) : Load(bias + n));
  }
}

// Few rows read the weights as stored. Many rows reuse weights that are converted to float32 once,
// one block of weights at a time.
template <Scaled kScaled, typename W>
void MatmulOf(const MatmulTask& task, const W* weights) {
  constexpr int64_t kBlockRows = 96;  // rows whose inputs stay in the second-level cache
  const PackedMatrix& w = *task.weights;
  const bool add = task.add || w.bias() != nullptr;
  const int64_t panel_size = w.inputs() * kPerInput<W>, scales = w.panel_scales();
  // Scales of a panel from input k on, which is a multiple of kNf4Block.
  const auto scale_at = [&](int64_t panel, int64_t k) -> const float* {
    if constexpr (kScaled == Scaled::kNot) return nullptr;
    const int64_t block = kScaled == Scaled::kByBlock ? k / kNf4Block : 0;
    return w.scale() + panel * scales + block * kPanel;
  };
  const float* a[kTileRows] = {};
  float* c[kTileRows] = {};
  const auto point = [&](int64_t row, int64_t rows, int64_t k, int64_t panel) {
    for (int64_t m = 0; m < rows; ++m) {
      a[m] = task.x + (row + m) * task.x_stride + k;
      c[m] = task.y + (row + m) * task.y_stride + panel * kPanel;
    }
  };
  if (task.rows <= kTileRows) {
    point(0, task.rows, 0, task.first_panel);
    const W* first = weights + task.first_panel * panel_size;
    Rows<kScaled>(
        task.rows, a, [&](int64_t p) { return first + p * panel_size; },
        task.last_panel - task.first_panel, w.inputs(), scale_at(task.first_panel, 0), scales, c,
        add);
    return;
  }
  alignas(64) float unpacked[kGroup][kDepth * kPanel];
  for (int64_t block = 0; block < task.rows; block += kBlockRows) {
    const int64_t end = Min(block + kBlockRows, task.rows);
    for (int64_t panel = task.first_panel; panel < task.last_panel; panel += kGroup) {
      const int64_t panels = Min(kGroup, task.last_panel - panel);
      for (int64_t k = 0; k < w.inputs(); k += kDepth) {
        const int64_t depth = Min(kDepth, w.inputs() - k);
        const float* as_float[kGroup];
        for (int64_t p = 0; p < panels; ++p) {
          const W* from = weights + (panel + p) * panel_size + k * kPerInput<W>;
          if constexpr (std::is_same_v<W, float>) {
            as_float[p] = from;
          } else {
            Unpack<kScaled>(from, depth, scale_at(panel + p, k), unpacked[p]);
            as_float[p] = unpacked[p];
          }
        }
        ForTiles(block, end - block, [&](int64_t row, int64_t rows) {
          point(row, rows, k, panel);
          Rows<Scaled::kNot>(
              rows, a, [&](int64_t p) { return as_float[p]; }, panels, depth, nullptr, 0, c,
              add || k > 0);
        });
      }
    }
  }
}

void Matmul(const MatmulTask& task) {
  if (task.rows == 0) return;
  StartRows(task);
  const void* data = task.weights->data();
  switch (task.weights->type()) {
    case WeightType::kFloat32: return MatmulOf<Scaled::kNot>(task, static_cast<const float*>(data));
    case WeightType::kBfloat16:
      return MatmulOf<Scaled::kNot>(task, static_cast<const uint16_t*>(data));
    case WeightType::kFloat16:
      return MatmulOf<Scaled::kNot>(task, static_cast<const Float16*>(data));
    case WeightType::kInt8:
      return MatmulOf<Scaled::kByOutput>(task, static_cast<const int8_t*>(data));
    case WeightType::kNf4:
      return MatmulOf<Scaled::kByBlock>(task, static_cast<const Nf4Byte*>(data));
  }
}

}  // namespace
}  // namespace pivotal::kernels
