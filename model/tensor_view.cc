// Apache-2.0.
#include "model/tensor_view.h"

#include <ATen/ops/from_blob.h>

#include "data/error.h"

namespace pivotal::model {
namespace {

data::DType ToDType(at::ScalarType type) {
  switch (type) {
    case at::kHalf: return data::DType::kF16;
    case at::kBFloat16: return data::DType::kBF16;
    case at::kFloat: return data::DType::kF32;
    default: Fail("weights of type {} cannot be saved", c10::toString(type));
  }
}

}  // namespace

at::ScalarType ToScalarType(data::DType type) {
  switch (type) {
    case data::DType::kF16: return at::kHalf;
    case data::DType::kBF16: return at::kBFloat16;
    case data::DType::kF32: break;
  }
  return at::kFloat;
}

namespace {

// What keeps the memory of a mapped tensor.
struct Mapped {
  std::shared_ptr<const data::SafetensorsReader> reader;
  std::string name;
};

void DeleteMapped(void* mapped) { delete static_cast<Mapped*>(mapped); }

}  // namespace

at::Tensor MapTensor(std::shared_ptr<const data::SafetensorsReader> reader, const std::string& name) {
  const data::TensorView view = reader->Get(name);
  auto mapped = std::make_unique<Mapped>(std::move(reader), name);
  return at::for_blob(const_cast<std::byte*>(view.bytes.data()), view.shape)
      .context(mapped.release(), DeleteMapped)
      .options(at::TensorOptions(ToScalarType(view.dtype)))
      .make_tensor();
}

void ReleaseMapped(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) return;
  const c10::DataPtr& memory = tensor.storage().data_ptr();
  if (memory.get_deleter() != &DeleteMapped) return;
  const auto* mapped = static_cast<const Mapped*>(memory.get_context());
  mapped->reader->Release(mapped->name);
}

at::Tensor ToTensor(const data::TensorView& view, at::Device device, at::ScalarType dtype) {
  // from_blob wants a mutable pointer; the tensor is only read.
  const at::Tensor mapped = at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape,
                                          at::TensorOptions(ToScalarType(view.dtype)));
  return mapped.to(at::TensorOptions(device).dtype(dtype), /*non_blocking=*/false, /*copy=*/true);
}

TensorViews::TensorViews(const std::map<std::string, at::Tensor>& tensors) {
  for (const auto& [name, original] : tensors) {
    const at::Tensor& tensor = on_cpu_[name] = original.detach().to(at::kCPU).contiguous();
    views_[name] = {ToDType(tensor.scalar_type()), tensor.sizes().vec(),
                    {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
  }
}

}  // namespace pivotal::model
