// Apache-2.0.
#include "model/step_buffer.h"

#include <ATen/ops/empty.h>

#include <bit>

namespace pivotal::model {

bool StepBuffer::Grow(std::span<const int64_t> sizes) {
  bool grows = false;
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    if (sizes[i] <= arrays_[i].capacity) continue;
    arrays_[i].capacity = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(sizes[i])));
    grows = true;
  }
  if (!grows) return false;
  std::size_t bytes = 0;
  for (Array& array : arrays_) {
    array.offset = bytes;
    bytes += (static_cast<std::size_t>(array.capacity) * array.element + 63) / 64 * 64;
  }
  const auto options = at::TensorOptions(at::kByte);
  host_ = at::empty({static_cast<int64_t>(bytes)}, options.pinned_memory(!device_.is_cpu()));
  copy_ = at::empty({static_cast<int64_t>(bytes)}, options.device(device_));
  return true;
}

at::Tensor StepBuffer::tensor(int array, at::ScalarType type, int64_t size) const {
  const Array& of = arrays_[static_cast<std::size_t>(array)];
  const auto bytes = size * static_cast<int64_t>(of.element);
  return copy_.narrow(0, static_cast<int64_t>(of.offset), bytes).view(type);
}

void StepBuffer::Upload() { copy_.copy_(host_, /*non_blocking=*/true); }

}  // namespace pivotal::model
