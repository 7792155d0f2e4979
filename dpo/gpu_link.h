// Apache-2.0. How tensors on GPUs reach other ranks.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>

namespace pivotal::dpo {

// The GPUs of all ranks, one each. All ranks make the same calls in the same order. What is sent travels
// beside the computation, on a stream of its own.
class GpuLink {
 public:
  virtual ~GpuLink() = default;
  virtual void Reduce(const at::Tensor& values, int root) = 0;     // as Ranks has it
  virtual void Broadcast(const at::Tensor& values, int root) = 0;  // then waits as Wait() does
  // Whatever is computed from now on comes after all that was sent before.
  virtual void Wait() = 0;
};

// Joins `device`, that of rank `rank` of `size`, with those of the others over NCCL. `share` makes rank 0's
// bytes those of all ranks. Null if the build has no NCCL. Throws Error with NCCL's words.
std::unique_ptr<GpuLink> JoinGpus(c10::Device device, int rank, int size,
                                  const std::function<void(std::span<char> bytes)>& share);

}  // namespace pivotal::dpo
