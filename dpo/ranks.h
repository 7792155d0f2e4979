// Apache-2.0. Ranks: the processes that train one model together (data parallelism).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace pivotal::dpo {

// Represents this process as one of size() ranks. All ranks hold the same weights; each computes a
// share of every step's examples. This class itself is one rank alone, for which all operations do
// nothing.
//
// All ranks must call Reduce, Broadcast and the functions built on them in the same order, each
// rank from one thread at a time. Tensors must be contiguous and have the same shape on every rank.
class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual int rank() const { return 0; }        // this rank's number, from 0
  virtual int size() const { return 1; }        // number of ranks
  virtual int local_rank() const { return 0; }  // this rank's number among those of its machine
  virtual int local_size() const { return 1; }  // number of ranks on its machine

  // Sums `values` (float32 or float64) over ranks into the tensor of rank `root`; the tensors of
  // other ranks keep their values. On a GPU, the sum is valid for computations issued after the
  // next Broadcast() or Wait().
  virtual void Reduce(const at::Tensor& values, int root) { (void)values, (void)root; }
  // Copies `values` (any type) of rank `root` to all ranks.
  virtual void Broadcast(const at::Tensor& values, int root) { (void)values, (void)root; }
  // Does the same; on a GPU, the copy is valid for computations issued after the next Broadcast()
  // or Wait().
  virtual void BeginBroadcast(const at::Tensor& values, int root) { Broadcast(values, root); }
  // Makes computations issued from now on wait for all transfers issued so far.
  virtual void Wait() {}
  // Prints `why`, then ends the processes of all ranks, because the others could only wait for this
  // one. Does not return if there are other ranks.
  virtual void Abandon(std::string_view why) { (void)why; }

  // Replaces `values` by their sum over ranks; the result is the same on all ranks bit by bit.
  void Sum(const at::Tensor& values);
  double Sum(double here);
  // Returns on all ranks whether `here` is true on at least one.
  bool Any(bool here);
  // Returns on all ranks whether `text` is the same on all.
  bool Same(const std::string& text);
  // Returns on all ranks the `text` of the first rank whose text is not empty; "" if all are.
  std::string FirstText(const std::string& text);
  // Runs `part`, this rank's part of a job. If it throws on one rank, all ranks throw: Interrupted
  // for Interrupted; for other exceptions their own one, or Error with the text of the first rank
  // that has one.
  void Together(const std::function<void()>& part);
};

// Returns the object of a process that is one rank alone.
Ranks& Alone();

// Joins the processes that mpirun or srun started together with this one. A process that was
// started by itself is one rank alone and does not touch MPI. Throws Error if the process is one of
// several and the build has no MPI.
std::unique_ptr<Ranks> JoinRanks();

// Holds what the launcher's environment variables tell about this process.
struct LaunchedRank {
  int rank = 0, size = 1;              // its number among the processes that were started together
  int local_rank = 0, local_size = 1;  // its number among those on its machine
  std::string launch;  // is the same for all processes of a launch and no others; "": not known
};
// Reads the variables of mpirun (Open MPI, MPICH) or srun; does not touch MPI.
LaunchedRank ReadLaunchedRank();

// Returns the index of the GPU that a rank uses on a machine with `gpus` GPUs. Throws Error if
// there are more ranks than GPUs.
int OwnGpu(int local_rank, int local_size, int gpus);

// Returns the device that a rank uses for the name `device` (see model::ParseDevice). If the name
// stands for any GPU ("cuda", "auto"), each rank of a machine gets a GPU of its own,
// "cuda:<index>".
std::string RankDevice(const std::string& device, int local_rank, int local_size);

// Connects the GPUs of all ranks, one each. All ranks make the same calls in the same order.
// Transfers run on a stream of their own, beside the computation.
class GpuLink {
 public:
  virtual ~GpuLink() = default;
  virtual void Reduce(const at::Tensor& values, int root) = 0;          // like Ranks::Reduce
  virtual void BeginBroadcast(const at::Tensor& values, int root) = 0;  // like Ranks'
  virtual void Wait() = 0;                                              // like Ranks::Wait
};

// Connects `device` of rank `rank` with those of the other `size` - 1 ranks by NCCL. `broadcast`
// must copy rank 0's bytes to all ranks. Returns null if the build has no NCCL. Throws Error with
// NCCL's message.
std::unique_ptr<GpuLink> ConnectGpus(c10::Device device, int rank, int size,
                                     const std::function<void(std::span<char> bytes)>& broadcast);

}  // namespace pivotal::dpo
