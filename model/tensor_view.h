// Apache-2.0. Between tensors and the bytes of safetensors files.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>

#include "data/safetensors.h"

namespace pivotal::model {

at::ScalarType ToScalarType(data::DType type);

// A copy on `device` in `dtype`; the mapped file can go afterwards.
at::Tensor ToTensor(const data::TensorView& view, at::Device device, at::ScalarType dtype);

// The tensor of that name as it lies in the file: read-only, on the CPU, in the file's type. It keeps the reader.
// Its bytes must be aligned to its elements.
at::Tensor MapTensor(std::shared_ptr<const data::SafetensorsReader> reader, const std::string& name);

// Gives back the memory that reading a tensor of MapTensor took; it can be read again. Others stay as they are.
void ReleaseMapped(const at::Tensor& tensor);

// Tensors as WriteSafetensors takes them, in CPU memory for as long as the object lives. Throws Error
// for a type that the format's readers here don't know.
class TensorViews {
 public:
  explicit TensorViews(const std::map<std::string, at::Tensor>& tensors);
  const std::map<std::string, data::TensorView>& get() const { return views_; }

 private:
  std::map<std::string, at::Tensor> on_cpu_;
  std::map<std::string, data::TensorView> views_;
};

}  // namespace pivotal::model
