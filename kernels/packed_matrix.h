// Apache-2.0. The weights of a linear layer, laid out once for the products of decoding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pivotal::kernels {

// How weights are stored. Products and sums are float32 for all.
enum class WeightType { kFloat32, kBfloat16, kFloat16, kInt8 };

// "fp32", "bf16", "fp16", "int8"
std::string_view WeightTypeName(WeightType type);
std::optional<WeightType> FindWeightType(std::string_view name);
std::vector<std::string> WeightTypeNames();
std::size_t WeightBytes(WeightType type);

// IEEE 754 binary16; not every compiler has a type for it.
struct Float16 {
  uint16_t bits;
};
Float16 ToFloat16(float value);  // to nearest, ties to even

// Outputs of a panel.
inline constexpr int64_t kPanel = 16;

// Bytes aligned to cache lines.
struct FreeAligned {
  void operator()(void* p) const;
};
template <typename T>
using AlignedArray = std::unique_ptr<T[], FreeAligned>;
// Not initialised. Throws std::bad_alloc.
AlignedArray<std::byte> AllocateBytes(std::size_t bytes);
AlignedArray<float> AllocateFloats(std::size_t count);  // zeroed

// y = x W^T + bias of weights [outputs, inputs], in panels of sixteen outputs: [panel][input][16]. The
// last panel is filled up with zeros. int8 weights are W / scale rounded, with one scale an output.
class PackedMatrix {
 public:
  PackedMatrix() = default;
  PackedMatrix(int64_t outputs, int64_t inputs, WeightType type);

  // Packs rows [first, first + count) of the weights, [count, inputs] in float32. Rows may come in any
  // pieces and order, from several threads if their panels differ.
  void SetRows(int64_t first, int64_t count, const float* rows);
  // [outputs]
  void SetBias(const float* bias);

  int64_t outputs() const { return outputs_; }
  int64_t inputs() const { return inputs_; }
  int64_t panels() const { return (outputs_ + kPanel - 1) / kPanel; }
  int64_t padded_outputs() const { return panels() * kPanel; }
  WeightType type() const { return type_; }
  const void* data() const { return data_.get(); }
  const float* bias() const { return bias_.get(); }    // [padded_outputs], or null
  const float* scale() const { return scale_.get(); }  // [padded_outputs], of int8; else null
  std::size_t bytes() const;

 private:
  int64_t outputs_ = 0, inputs_ = 0;
  WeightType type_ = WeightType::kFloat32;
  AlignedArray<std::byte> data_;
  AlignedArray<float> bias_, scale_;
};

// A share of y (+)= x W^T + bias: all rows of x, panels [first_panel, last_panel) of y.
struct MatmulTask {
  const float* x;      // [rows, x_stride], of which `inputs` are read
  int64_t x_stride;
  int64_t rows;
  const PackedMatrix* weights;
  float* y;            // [rows, y_stride], y_stride >= padded_outputs
  int64_t y_stride;
  bool add = false;    // to what y holds
  int64_t first_panel = 0, last_panel = 0;
};

}  // namespace pivotal::kernels
