// Apache-2.0. Weights of a linear layer, packed for the matrix products of decoding on a CPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/quantised.h"

namespace pivotal::kernels {

// Type in which weights are stored. Products and sums are computed in float32 for all types.
enum class WeightType { kFloat32, kBfloat16, kFloat16, kInt8, kNf4 };

// Returns "fp32", "bf16", "fp16", "int8" or "nf4".
std::string_view WeightTypeName(WeightType type);
// Returns the type of this name, or nullopt.
std::optional<WeightType> FindWeightType(std::string_view name);
std::vector<std::string> WeightTypeNames();

// A 16-bit floating-point number (IEEE 754 binary16), for compilers without a type for it.
struct Float16 {
  uint16_t bits;
};
// Rounds to nearest, ties to even.
Float16 ToFloat16(float value);

// Outputs (columns of y) of a panel of weights.
inline constexpr int64_t kPanel = 16;

struct FreeAligned {
  void operator()(void* p) const;
};
// An array that begins at a multiple of 64 bytes, the size of a cache line.
template <typename T>
using AlignedArray = std::unique_ptr<T[], FreeAligned>;
// Allocates zeros. Throws std::bad_alloc.
AlignedArray<float> AllocateFloats(std::size_t count);

// A row of a matrix in NF4.
struct Nf4Row {
  const Nf4Codes* matrix;  // [.., inputs]
  int64_t row;
};

// Weights W [outputs, inputs] and bias of y = x W^T + bias, stored in panels of sixteen outputs:
// [panel][input][16]. The last panel is padded with zeros. An int8 weight is W / scale, rounded;
// each output has its own scale. In NF4, an input has eight bytes in a panel: the four bits i of
// the first four bytes, from the lowest on, are the code of output 2 i, those of the last four
// bytes that of output 2 i + 1. Each output has a scale for every kNf4Block inputs.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Allocates the weights. Throws std::bad_alloc. NF4 needs inputs that are a multiple of
  // kNf4Block.
  PackedMatrix(int64_t outputs, int64_t inputs, WeightType type);

  // Packs rows [first, first + count) of W, given as float32 [count, inputs]. Rows may come in any
  // order. Several threads may call this at once if their panels differ. Not for NF4.
  void SetRows(int64_t first, int64_t count, const float* rows);
  // Packs the rows of W that belong to a panel in NF4: 16, fewer in the last panel.
  void SetNf4Panel(int64_t panel, std::span<const Nf4Row> rows);
  // Copies the bias, [outputs].
  void SetBias(const float* bias);

  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return inputs_; }
  int64_t panels() const { return (outputs_ + kPanel - 1) / kPanel; }
  int64_t padded_outputs() const { return panels() * kPanel; }
  WeightType type() const { return type_; }
  const void* data() const { return data_.get(); }
  const float* bias() const { return bias_.get(); }  // [padded_outputs], or null
  // Returns the scales: [padded_outputs] for int8, [panel][inputs / kNf4Block][16] for NF4, else
  // null.
  const float* scale() const { return scale_.get(); }
  // Returns the number of scales of a panel.
  int64_t panel_scales() const { return kPanel * (type_ == WeightType::kNf4 ? Blocks() : 1); }
  // Returns the bytes of weights, bias and scales.
  std::size_t bytes() const;

 private:
  int64_t Blocks() const { return inputs_ / kNf4Block; }
  std::size_t DataBytes(int64_t panels) const;

  int64_t outputs_ = 0, inputs_ = 0;
  WeightType type_ = WeightType::kFloat32;
  AlignedArray<std::byte> data_;
  AlignedArray<float> bias_, scale_;
};

}  // namespace pivotal::kernels
