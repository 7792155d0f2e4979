// Apache-2.0. Ranks over MPI.
#pragma once

#include "dpo/ranks.h"

namespace pivotal::dpo {

// All processes of the MPI job. Tensors on a device go through the host. One object at most in the life
// of a process: MPI begins and ends with it.
class MpiRanks : public Ranks {
 public:
  MpiRanks();
  ~MpiRanks() override;
  MpiRanks(const MpiRanks&) = delete;
  MpiRanks& operator=(const MpiRanks&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int neighbours() const override { return neighbours_; }
  void Reduce(const at::Tensor& values, int root) override;
  void Broadcast(const at::Tensor& values, int root) override;
  void Abandon(std::string_view why) override;

 private:
  int rank_ = 0, size_ = 1, neighbours_ = 1;
};

}  // namespace pivotal::dpo
