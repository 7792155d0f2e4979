// Apache-2.0. Kernels that work on one row at a time: norms, rotary embedding, activations,
// softmax, exponentials.
#pragma once

#include "kernels/cpu/simd.h"
#include "kernels/cpu_kernels.h"

namespace pivotal::kernels {
namespace {

// Vectors that make up sixteen lanes.
constexpr int kParts = 16 / kLanes;

// Returns the sum over i < size of of_value(i), in sixteen partial sums. of_vec(i) returns the
// values of elements i..i + kLanes - 1.
template <typename OfVec, typename OfValue>
inline float SumOver(int64_t size, OfVec of_vec, OfValue of_value) {
  Lanes16 lanes = {};
  int64_t i = 0;
  for (; i + 16 <= size; i += 16)
    for (int part = 0; part < kParts; ++part) lanes.part[part] += of_vec(i + part * kLanes);
  float tail[16] = {};
  for (int64_t j = i; j < size; ++j) tail[j - i] = of_value(j);
  Lanes16 rest;
  std::memcpy(&rest, tail, sizeof(rest));
  for (int part = 0; part < kParts; ++part) lanes.part[part] += rest.part[part];
  return Sum(lanes);
}

// Sets out[i] = of_value(i) for i < size. of_vec(i) returns the values of elements i..i + kLanes
// - 1.
template <typename OfVec, typename OfValue>
inline void Map(int64_t size, float* out, OfVec of_vec, OfValue of_value) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) Store(out + i, of_vec(i));
  for (; i < size; ++i) out[i] = of_value(i);
}

void RmsNorm(const float* x, const NormWeights& norm, float* out) {
  const float* w = norm.weight;
  const float sum = SumOver(
      norm.size, [&](int64_t i) { return Load(x + i) * Load(x + i); },
      [&](int64_t i) { return x[i] * x[i]; });
  const float inverse = 1.0f / __builtin_sqrtf(sum / static_cast<float>(norm.size) + norm.epsilon);
  const Vec factor = Broadcast(inverse);
  Map(
      norm.size, out, [&](int64_t i) { return Load(x + i) * factor * Load(w + i); },
      [&](int64_t i) { return x[i] * inverse * w[i]; });
}

void LayerNorm(const float* x, const NormWeights& norm, float* out) {
  const float *w = norm.weight, *b = norm.bias;
  const auto size = static_cast<float>(norm.size);
  const float mean =
      SumOver(
          norm.size, [&](int64_t i) { return Load(x + i); }, [&](int64_t i) { return x[i]; }) /
      size;
  const Vec center = Broadcast(mean);
  const float square = SumOver(
      norm.size,
      [&](int64_t i) {
        const Vec d = Load(x + i) - center;
        return d * d;
      },
      [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  const float inverse = 1.0f / __builtin_sqrtf(square / size + norm.epsilon);
  const Vec factor = Broadcast(inverse);
  Map(
      norm.size, out,
      [&](int64_t i) { return Fma((Load(x + i) - center) * factor, Load(w + i), Load(b + i)); },
      [&](int64_t i) { return Fma((x[i] - mean) * inverse, w[i], b[i]); });
}

void Norm(const float* x, const NormWeights& norm, float* out) {
  if (norm.centered) return LayerNorm(x, norm, out);
  RmsNorm(x, norm, out);
}

void Rotate(float* head, const float* cos, const float* sin, int64_t half) {
  float *first = head, *second = head + half;
  int64_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const Vec a = Load(first + i), b = Load(second + i), c = Load(cos + i), s = Load(sin + i);
    Store(first + i, Fma(a, c, -(b * s)));
    Store(second + i, Fma(b, c, a * s));
  }
  for (; i < half; ++i) {
    const float a = first[i], b = second[i];
    first[i] = Fma(a, cos[i], -(b * sin[i]));
    second[i] = Fma(b, cos[i], a * sin[i]);
  }
}

inline Vec Sigmoid(Vec x) { return Broadcast(1.0f) / (Broadcast(1.0f) + Exp(-x)); }

inline Vec Gelu(Vec x) {  // tanh form: tanh(u) = 2 sigmoid(2u) - 1
  const Vec cube = x * x * x;
  const Vec u = Broadcast(0.7978845608028654f) * Fma(Broadcast(0.044715f), cube, x);
  return x * Sigmoid(u + u);
}

// The last vector may write past `size` into the second half of the row, but only to elements that
// have been read.
void Activate(const ActivationTask& task, float* x) {
  const float* second = x + task.size;
  const Vec limit = Broadcast(task.limit);
  for (int64_t i = 0; i < task.size; i += kLanes) {
    const Vec gate = Load(x + i);
    switch (task.type) {
      case Activation::kSwiGlu: Store(x + i, gate * Sigmoid(gate) * Load(second + i)); break;
      case Activation::kGelu: Store(x + i, Gelu(gate)); break;
      case Activation::kGegelu: {
        const Vec low = Min(gate, limit);
        const Vec linear = Max(Min(Load(second + i), limit), -limit);
        Store(x + i, low * Sigmoid(Broadcast(1.702f) * low) * (linear + Broadcast(1.0f)));
        break;
      }
    }
  }
}

// Replaces scores[i] by exp((scores[i] - max) * scale) for i in [first, size), and the rest of the
// groups of sixteen that this range touches by 0. Returns the sum.
float Softmax(float* scores, int64_t first, int64_t size, float scale) {
  const int64_t begin = first / 16 * 16, end = (size + 15) / 16 * 16;
  for (int64_t i = begin; i < first; ++i) scores[i] = -kInfinity;
  for (int64_t i = size; i < end; ++i) scores[i] = -kInfinity;
  Vec top = Broadcast(-kInfinity);
  for (int64_t i = begin; i < end; i += kLanes) top = Max(top, Load(scores + i));
  const Vec offset = Broadcast(MaxLane(top)), factor = Broadcast(scale);
  Lanes16 lanes = {};
  for (int64_t i = begin; i < end; i += 16)
    for (int part = 0; part < kParts; ++part) {
      const Vec p = Exp((Load(scores + i + part * kLanes) - offset) * factor);
      Store(scores + i + part * kLanes, p);
      lanes.part[part] += p;
    }
  return Sum(lanes);
}

float RowMax(const float* row, int64_t size) {
  float max = -kInfinity;
  bool good = true;
  int64_t i = 0;
  if (size >= kLanes) {
    Vec top = Load(row);
    IntVec bad = {};
    for (; i + kLanes <= size; i += kLanes) {
      const Vec x = Load(row + i);
      bad |= ~(x < Broadcast(kInfinity));
      top = Max(top, x);
    }
    for (int lane = 0; lane < kLanes; ++lane) good = good && bad[lane] == 0;
    max = MaxLane(top);
  }
  for (; i < size; ++i) {
    good = good && row[i] < kInfinity;
    max = row[i] > max ? row[i] : max;
  }
  return good ? max : __builtin_nanf("");
}

void RowExp(const float* row, int64_t size, float max, float scale, float* weights, float* sums) {
  const auto of_vec = [&](const float* x) {
    return Exp((Load(x) - Broadcast(max)) * Broadcast(scale));
  };
  for (int64_t first = 0; first < size; first += kSumChunk) {
    const int64_t end = first + kSumChunk < size ? first + kSumChunk : size;
    Lanes16 lanes = {};
    int64_t i = first;
    for (; i + 16 <= end; i += 16)
      for (int part = 0; part < kParts; ++part) {
        const Vec w = of_vec(row + i + part * kLanes);
        Store(weights + i + part * kLanes, w);
        lanes.part[part] += w;
      }
    if (i < end) {
      float tail[16], out[16];
      for (int j = 0; j < 16; ++j) tail[j] = i + j < end ? row[i + j] : -kInfinity;
      for (int part = 0; part < kParts; ++part) {
        const Vec w = of_vec(tail + part * kLanes);
        Store(out + part * kLanes, w);
        lanes.part[part] += w;
      }
      for (int j = 0; i + j < end; ++j) weights[i + j] = out[j];
    }
    sums[first / kSumChunk] = Sum(lanes);
  }
}

}  // namespace
}  // namespace pivotal::kernels
