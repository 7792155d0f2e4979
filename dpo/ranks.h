// Apache-2.0. The processes that train one model together.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pivotal::dpo {

// One of size() ranks that hold the same weights and each see a share of every step's examples. All
// ranks call Reduce, Broadcast and what is made of them in the same order, each from one thread at a
// time. Tensors are contiguous and of the same shape on every rank. The default object is one rank
// alone, for which all of this does nothing.
class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  virtual int neighbours() const { return 1; }  // ranks on this machine, this one included
  virtual int neighbour() const { return 0; }   // this one among them
  // `values` (float32 or float64) at `root` become the sum over ranks; elsewhere they are left as they are.
  // On a GPU that may take until the next Broadcast() or Wait(), for all that is computed after it.
  virtual void Reduce(const at::Tensor& values, int root) { (void)values, (void)root; }
  // `values` (any type) become those of `root`.
  virtual void Broadcast(const at::Tensor& values, int root) { (void)values, (void)root; }
  virtual void Wait() {}
  // Ends the other ranks, which could only wait for this one, after it has told why. Doesn't return
  // where there are others.
  virtual void Abandon(std::string_view why) { (void)why; }

  // `values` become their sum over ranks, to the bit the same on all.
  void Sum(const at::Tensor& values);
  double Sum(double here);
  // True on all ranks if it is on one.
  bool Any(bool here);
  // True on all ranks if all have the same text.
  bool Same(const std::string& text);
  // Does this rank's part of a job. If that is Interrupted on one rank, all ranks throw Interrupted.
  void Together(const std::function<void()>& part);
};

// One rank alone.
Ranks& Alone();

// This process among those that mpirun or srun has started; one rank alone if it was started by itself,
// and then MPI is not touched. Throws Error if it is one of several and the build has no MPI.
std::unique_ptr<Ranks> JoinRanks();

}  // namespace pivotal::dpo
