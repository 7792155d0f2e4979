// Apache-2.0. Ranks over MPI.
#pragma once

#include <memory>
#include <optional>

#include "dpo/gpu_link.h"
#include "dpo/ranks.h"

namespace pivotal::dpo {

// All processes of the MPI job. Tensors on a GPU go over NCCL, or through the host where the build has none.
// One object at most in the life of a process: MPI begins and ends with it.
class MpiRanks : public Ranks {
 public:
  MpiRanks();
  ~MpiRanks() override;
  MpiRanks(const MpiRanks&) = delete;
  MpiRanks& operator=(const MpiRanks&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int neighbours() const override { return neighbours_; }
  int neighbour() const override { return neighbour_; }
  void Reduce(const at::Tensor& values, int root) override;
  void Broadcast(const at::Tensor& values, int root) override;
  void Wait() override;
  void Abandon(std::string_view why) override;

 private:
  // What `values` go over; null: MPI.
  GpuLink* LinkOf(const at::Tensor& values);

  int rank_ = 0, size_ = 1, neighbours_ = 1, neighbour_ = 0;
  std::optional<std::unique_ptr<GpuLink>> link_;  // once there was a tensor on a GPU
};

}  // namespace pivotal::dpo
