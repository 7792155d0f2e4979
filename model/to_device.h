// Apache-2.0. From the host to a device without waiting.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace pivotal::model {

// A copy on `device`; the tensor itself if that is where it is. To a GPU by way of page-locked memory, so that nothing waits
// for the copy but what reads it, on the current stream.
at::Tensor ToDevice(const at::Tensor& tensor, c10::Device device);
// The same of numbers: [values.size()], int64.
at::Tensor ToDevice(std::span<const int64_t> values, c10::Device device);

}  // namespace pivotal::model
