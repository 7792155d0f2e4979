// Apache-2.0. Ranks over MPI. CMake builds no_mpi.cc instead where it finds no MPI.
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "data/base/error.h"
#include "dpo/ranks.h"

namespace pivotal::dpo {
namespace {

// Largest number of elements in one message. Open MPI took twice the time for 100 MB in one
// message.
constexpr int64_t kPiece = 1 << 20;

// Waits for all ranks with a sleeping loop, so that the sum that follows does not have to wait:
// MPI's own calls wait in a busy loop, on a core that the backward pass could use. A broadcast
// needs no Meet(), because it follows a sum.
void Meet() {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point patience = Clock::now() + std::chrono::microseconds(100);
  MPI_Request request;
  MPI_Ibarrier(MPI_COMM_WORLD, &request);
  for (int done = 0;;) {
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    if (done != 0) return;
    if (Clock::now() < patience) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

// Calls f(first byte, number of elements) for each piece of `values`.
template <typename F>
void ForPieces(const at::Tensor& values, F f) {
  auto* bytes = static_cast<char*>(values.data_ptr());
  for (int64_t first = 0; first < values.numel(); first += kPiece)
    f(bytes + first * values.element_size(),
      static_cast<int>(std::min(kPiece, values.numel() - first)));
}

MPI_Datatype SummedType(const at::Tensor& values) {
  switch (values.scalar_type()) {
    case at::kFloat: return MPI_FLOAT;
    case at::kDouble: return MPI_DOUBLE;
    default:
      Fail("ranks can sum float32 and float64 tensors only, not {}",
           c10::toString(values.scalar_type()));
  }
}

// Returns `values` themselves if they are in host memory, else a copy there.
at::Tensor OnHost(const at::Tensor& values) {
  if (!values.is_contiguous()) Fail("ranks can exchange contiguous tensors only");
  return values.is_cpu() ? values : values.cpu();
}

// Connects the processes of the MPI job. Tensors on a GPU travel by NCCL, or through host memory if
// the build has no NCCL. It initializes and finalizes MPI, so a process can make one such object
// only.
class MpiRanks : public Ranks {
 public:
  MpiRanks();
  ~MpiRanks() override;
  MpiRanks(const MpiRanks&) = delete;
  MpiRanks& operator=(const MpiRanks&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  void Reduce(const at::Tensor& values, int root) override;
  void Broadcast(const at::Tensor& values, int root) override;
  void BeginBroadcast(const at::Tensor& values, int root) override;
  void Wait() override;
  void Abandon(std::string_view why) override;

 private:
  // Returns the link that carries `values`; null: MPI carries them.
  GpuLink* LinkOf(const at::Tensor& values);

  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  std::optional<std::unique_ptr<GpuLink>> link_;  // made for the first tensor on a GPU
};

MpiRanks::MpiRanks() {
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  MPI_Comm machine;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  MPI_Comm_size(machine, &local_size_);
  MPI_Comm_rank(machine, &local_rank_);
  MPI_Comm_free(&machine);
  if (provided < MPI_THREAD_SERIALIZED)
    Abandon(
        "this MPI cannot be called from several threads; install one with MPI_THREAD_SERIALIZED");
}

MpiRanks::~MpiRanks() {
  link_.reset();
  MPI_Finalize();
}

GpuLink* MpiRanks::LinkOf(const at::Tensor& values) {
  if (!values.is_cuda()) return nullptr;
  if (!link_) {
    link_ = ConnectGpus(values.device(), rank_, size_, [](std::span<char> bytes) {
      MPI_Bcast(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, 0, MPI_COMM_WORLD);
    });
  }
  return link_->get();
}

void MpiRanks::Reduce(const at::Tensor& values, int root) {
  if (GpuLink* link = LinkOf(values)) return link->Reduce(values, root);
  const MPI_Datatype type = SummedType(values);
  const at::Tensor host = OnHost(values);
  Meet();
  ForPieces(host, [&](char* piece, int count) {
    MPI_Reduce(rank_ == root ? MPI_IN_PLACE : piece, piece, count, type, MPI_SUM, root,
               MPI_COMM_WORLD);
  });
  if (rank_ == root && !host.is_same(values)) values.copy_(host);
}

void MpiRanks::Broadcast(const at::Tensor& values, int root) {
  BeginBroadcast(values, root);
  Wait();
}

void MpiRanks::BeginBroadcast(const at::Tensor& values, int root) {
  if (GpuLink* link = LinkOf(values)) return link->BeginBroadcast(values, root);
  const at::Tensor host = OnHost(values);
  const auto size = static_cast<int>(host.element_size());
  ForPieces(host, [&](char* piece, int count) {
    MPI_Bcast(piece, count * size, MPI_BYTE, root, MPI_COMM_WORLD);
  });
  if (rank_ != root && !host.is_same(values)) values.copy_(host);
}

void MpiRanks::Wait() {
  if (link_ && *link_ != nullptr) (*link_)->Wait();
}

void MpiRanks::Abandon(std::string_view why) {
  if (size_ == 1) return;
  // If all ranks fail in the same way, only rank 0's message should be seen: it ends the others
  // during this sleep, which takes Open MPI more than a second.
  if (rank_ != 0) std::this_thread::sleep_for(std::chrono::seconds(3));
  std::fputs(fmt::format("pivotal: rank {} of {}: {}\n", rank_, size_, why).c_str(), stderr);
  std::fflush(stderr);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

}  // namespace

std::unique_ptr<Ranks> JoinRanks() {
  if (ReadLaunchedRank().size == 1) return std::make_unique<Ranks>();
  return std::make_unique<MpiRanks>();
}

}  // namespace pivotal::dpo
