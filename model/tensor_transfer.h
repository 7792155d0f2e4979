// Apache-2.0. Tensors to and from devices and safetensors files.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/weights/safetensors.h"

namespace pivotal::model {

// Returns a copy on `device`, or the tensor itself if it is there. From the host to a GPU it copies
// through page-locked memory and does not wait; work on the current stream sees the copy.
at::Tensor ToDevice(const at::Tensor& tensor, c10::Device device);
// Returns `values` as an int64 tensor [values.size()] on `device`.
at::Tensor ToDevice(std::span<const int64_t> values, c10::Device device);

// A copy of a tensor on its way to the host.
class HostCopy {
 public:
  // Begins to copy; does not wait for a GPU.
  explicit HostCopy(const at::Tensor& tensor);
  // Waits until the copy is there, but not for work that was given to the GPU later.
  const at::Tensor& Wait() const;

 private:
  at::Tensor host_;
  std::optional<c10::Event> there_;
};

at::ScalarType ToScalarType(data::DType type);

// Copies a tensor of a file to `device`, as `dtype`. The file may be unmapped afterwards.
at::Tensor ToTensor(const data::TensorView& view, at::Device device, at::ScalarType dtype);

// Returns a read-only tensor over the mapped file itself: on the CPU, in the file's type, whatever
// it holds, keeping `reader` alive. The bytes in the file must be aligned to the elements.
at::Tensor MapTensor(std::shared_ptr<const data::SafetensorsReader> reader,
                     const std::string& name);

// Frees the pages that reading a tensor of MapTensor loaded; reading it again loads them again.
// Does nothing for other tensors.
void ReleaseMapped(const at::Tensor& tensor);

// Returns the tensor of a name, with its numbers; the caller may hold a map where some have shape
// and type only.
using FetchTensor = std::function<at::Tensor(const std::string& name)>;

// Types and shapes of tensors for data::WriteSafetensors, and their bytes one after another: at
// most one tensor is copied from a GPU at a time. `fetch`, if given, returns the tensors as they
// are needed. Throws Error for a type that safetensors files here don't hold. `tensors` must
// outlive this object.
class TensorViews {
 public:
  explicit TensorViews(const std::map<std::string, at::Tensor>& tensors, FetchTensor fetch = {});
  const std::map<std::string, data::TensorView>& get() const { return views_; }
  // Returns the bytes of a tensor, until the next call.
  std::span<const std::byte> Read(const std::string& name);

 private:
  const std::map<std::string, at::Tensor>& tensors_;
  FetchTensor fetch_;
  std::map<std::string, data::TensorView> views_;
  at::Tensor on_cpu_;
};

}  // namespace pivotal::model
