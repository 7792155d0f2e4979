// Apache-2.0.
#include "model/to_device.h"

#include <ATen/ops/empty.h>

#include <algorithm>

namespace pivotal::model {

at::Tensor ToDevice(const at::Tensor& tensor, c10::Device device) {
  if (device.is_cpu() || !tensor.is_cpu()) return tensor.to(device);
  const at::Tensor locked = tensor.is_pinned() ? tensor : tensor.pin_memory();
  return locked.to(device, /*non_blocking=*/true);
}

at::Tensor ToDevice(std::span<const int64_t> values, c10::Device device) {
  const at::Tensor host = at::empty({std::ssize(values)}, at::TensorOptions(at::kLong).pinned_memory(!device.is_cpu()));
  std::ranges::copy(values, host.mutable_data_ptr<int64_t>());
  return ToDevice(host, device);
}

}  // namespace pivotal::model
