// Apache-2.0. Matrices in 4 and in 8 bits, which turn into numbers when they are used.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/quantised.h"

namespace pivotal::model {

// How the matrices of the decoder's linear layers are stored. Embedding, output matrix, norms,
// biases and the router of experts always have the model's type, as with bitsandbytes.
enum class BaseWeights {
  kPlain,  // in the model's type
  kNf4,    // in 4 bits (kernels::Nf4Codes)
  kInt8    // in 8 bits, with a scale for each output
};
// Returns "auto", "nf4" or "int8".
std::string_view BaseWeightsName(BaseWeights base);
// Throws Error for other names.
BaseWeights ParseBaseWeights(const std::string& name);
std::vector<std::string> BaseWeightsNames();

// Returns the bytes of a matrix [rows, columns] whose plain elements have `element` bytes.
int64_t MatrixBytes(BaseWeights base, int64_t rows, int64_t columns, int64_t element);

// A matrix [rows, columns] of a linear layer. It is never changed, and has no gradient.
class QuantisedMatrix {
 public:
  BaseWeights format() const { return format_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t bytes() const;

  // Returns its numbers, rounded to float32, bfloat16 or float16: [rows, columns]. On a GPU this is
  // one launch on the current stream.
  at::Tensor Numbers(at::ScalarType type) const;
  // Returns x W^T + bias, [..., columns] -> [..., rows], in the type of x, without gradient. On a
  // GPU few rows read the codes and write no numbers.
  at::Tensor Multiply(const at::Tensor& x, const at::Tensor& bias) const;
  // Returns the codes of a matrix in NF4.
  kernels::Nf4Codes Nf4() const;

 private:
  friend class Quantiser;
  class Team;
  QuantisedMatrix() = default;
  void QuantiseNf4(const at::Tensor& weight);
  void QuantiseInt8(const at::Tensor& weight);
  kernels::Int8Codes Int8() const;

  BaseWeights format_ = BaseWeights::kNf4;
  int64_t rows_ = 0, columns_ = 0;
  at::Tensor codes_;         // bytes: [(rows columns + 1) / 2] in NF4, else [rows, columns]
  at::Tensor scales_;        // NF4: uint8 [blocks]; int8: float32 [rows]
  at::Tensor group_scales_;  // NF4: float32 [groups]
  float offset_ = 0;
  at::Tensor map_;              // [256] MomentTables::first
  std::shared_ptr<Team> team_;  // threads, on a CPU
};

// Quantises the matrices of one model.
class Quantiser {
 public:
  // `base` is not kPlain.
  Quantiser(BaseWeights base, at::Device device);
  // Quantises `weight` [rows, columns] and moves the codes to the device. The weight is float32,
  // bfloat16 or float16, on the CPU, and finite.
  std::shared_ptr<const QuantisedMatrix> operator()(const at::Tensor& weight) const;

 private:
  BaseWeights base_;
  at::Device device_;
  at::Tensor map_;
  std::shared_ptr<QuantisedMatrix::Team> team_;
};

// Matrices by the names of their weights, e.g. "model.layers.0.self_attn.qkv_proj.weight".
using QuantisedMap = std::map<std::string, std::shared_ptr<const QuantisedMatrix>>;

// Returns x W^T + bias. The backward pass gives x its gradient, for which it turns the codes into
// numbers again: the graph keeps no numbers.
at::Tensor MultiplyQuantised(const std::shared_ptr<const QuantisedMatrix>& w, const at::Tensor& x,
                             const at::Tensor& bias);

}  // namespace pivotal::model
