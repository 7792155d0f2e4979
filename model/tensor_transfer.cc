// Apache-2.0.
#include "model/tensor_transfer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "data/base/error.h"

namespace pivotal::model {
namespace {

data::DType ToDType(at::ScalarType type) {
  switch (type) {
    case at::kHalf: return data::DType::kF16;
    case at::kBFloat16: return data::DType::kBF16;
    case at::kFloat: return data::DType::kF32;
    case at::kByte: return data::DType::kU8;
    default: Fail("weights of type {} cannot be saved", c10::toString(type));
  }
}

// Keeps the file of a mapped tensor open: the context of the tensor's memory.
struct Mapped {
  std::shared_ptr<const data::SafetensorsReader> reader;
  std::string name;
};

void DeleteMapped(void* mapped) { delete static_cast<Mapped*>(mapped); }

}  // namespace

at::Tensor ToDevice(const at::Tensor& tensor, c10::Device device) {
  if (!device.is_cuda() || !tensor.is_cpu()) return tensor.to(device);
  const at::Tensor locked = tensor.is_pinned() ? tensor : tensor.pin_memory();
  return locked.to(device, /*non_blocking=*/true);
}

at::Tensor ToDevice(std::span<const int64_t> values, c10::Device device) {
  const at::Tensor host =
      at::empty({std::ssize(values)}, at::TensorOptions(at::kLong).pinned_memory(device.is_cuda()));
  std::ranges::copy(values, host.mutable_data_ptr<int64_t>());
  return ToDevice(host, device);
}

HostCopy::HostCopy(const at::Tensor& tensor)
    : host_(tensor.to(at::kCPU, /*non_blocking=*/true)) {  // LibTorch takes page-locked memory
  if (tensor.is_cpu()) return;
  const c10::Device device = tensor.device();
  there_.emplace(device.type());
  there_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

const at::Tensor& HostCopy::Wait() const {
  if (there_) there_->synchronize();
  return host_;
}

at::ScalarType ToScalarType(data::DType type) {
  switch (type) {
    case data::DType::kF16: return at::kHalf;
    case data::DType::kBF16: return at::kBFloat16;
    case data::DType::kU8: return at::kByte;
    case data::DType::kF32: break;
  }
  return at::kFloat;
}

at::Tensor ToTensor(const data::TensorView& view, at::Device device, at::ScalarType dtype) {
  // from_blob wants a mutable pointer; the tensor is only read.
  const at::Tensor mapped = at::from_blob(const_cast<std::byte*>(view.bytes.data()), view.shape,
                                          at::TensorOptions(ToScalarType(view.dtype)));
  return mapped.to(at::TensorOptions(device).dtype(dtype), /*non_blocking=*/false, /*copy=*/true);
}

at::Tensor MapTensor(std::shared_ptr<const data::SafetensorsReader> reader,
                     const std::string& name) {
  const data::TensorView view = reader->GetAny(name);
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

TensorViews::TensorViews(const std::map<std::string, at::Tensor>& tensors, FetchTensor fetch)
    : tensors_(tensors), fetch_(std::move(fetch)) {
  for (const auto& [name, tensor] : tensors)
    views_[name] = {ToDType(tensor.scalar_type()), tensor.sizes().vec(), {}};
}

std::span<const std::byte> TensorViews::Read(const std::string& name) {
  const at::Tensor tensor = fetch_ ? fetch_(name) : tensors_.at(name);
  on_cpu_ = tensor.detach().to(at::kCPU).contiguous();
  return {static_cast<const std::byte*>(on_cpu_.const_data_ptr()), on_cpu_.nbytes()};
}

}  // namespace pivotal::model
