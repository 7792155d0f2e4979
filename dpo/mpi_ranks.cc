// Apache-2.0.
#include "dpo/mpi_ranks.h"

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "data/error.h"
#include "dpo/launched_ranks.h"

namespace pivotal::dpo {
namespace {

// Elements of one message. Open MPI took twice the time for 100 MB in one.
constexpr int64_t kPiece = 1 << 20;

// Waits for all ranks, so that a sum goes through at once: while MPI's own calls wait they turn in a loop,
// on a core that the backward pass could use. Broadcasts, which follow sums, do without.
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

// f(first byte, elements) for each piece of `values`.
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
    default: Fail("ranks sum float32 and float64, not {}", c10::toString(values.scalar_type()));
  }
}

// `values` in the host's memory: themselves, or a copy.
at::Tensor OnHost(const at::Tensor& values) {
  if (!values.is_contiguous()) Fail("ranks exchange contiguous tensors only");
  return values.is_cpu() ? values : values.cpu();
}

}  // namespace

MpiRanks::MpiRanks() {
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  MPI_Comm machine;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine);
  MPI_Comm_size(machine, &neighbours_);
  MPI_Comm_rank(machine, &neighbour_);
  MPI_Comm_free(&machine);
  if (provided < MPI_THREAD_SERIALIZED)
    Abandon("this MPI can't be called from several threads; build one with MPI_THREAD_SERIALIZED");
}

MpiRanks::~MpiRanks() {
  link_.reset();
  MPI_Finalize();
}

GpuLink* MpiRanks::LinkOf(const at::Tensor& values) {
  if (!values.is_cuda()) return nullptr;
  if (!link_) {
    link_ = JoinGpus(values.device(), rank_, size_, [](std::span<char> bytes) {
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
    MPI_Reduce(rank_ == root ? MPI_IN_PLACE : piece, piece, count, type, MPI_SUM, root, MPI_COMM_WORLD);
  });
  if (rank_ == root && !host.is_same(values)) values.copy_(host);
}

void MpiRanks::Broadcast(const at::Tensor& values, int root) {
  if (GpuLink* link = LinkOf(values)) return link->Broadcast(values, root);
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
  // Where all fail alike, rank 0's line is the one that is seen: it ends the others meanwhile, which
  // takes Open MPI more than a second.
  if (rank_ != 0) std::this_thread::sleep_for(std::chrono::seconds(3));
  std::fputs(fmt::format("pivotal: rank {} of {}: {}\n", rank_, size_, why).c_str(), stderr);
  std::fflush(stderr);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

std::unique_ptr<Ranks> JoinRanks() {
  if (LaunchedRanks() == 1) return std::make_unique<Ranks>();
  return std::make_unique<MpiRanks>();
}

}  // namespace pivotal::dpo
