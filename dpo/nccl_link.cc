// Apache-2.0. Links between GPUs by NCCL. CMake builds no_nccl.cc instead where it finds no NCCL.
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include <functional>
#include <memory>
#include <span>

#include "data/base/error.h"
#include "dpo/ranks.h"

namespace pivotal::dpo {
namespace {

void Check(ncclResult_t result) {
  if (result != ncclSuccess)
    Fail("NCCL: {}; set NCCL_DEBUG=INFO for details; each rank needs a GPU of its own",
         ncclGetErrorString(result));
}

ncclDataType_t SummedType(const at::Tensor& values) {
  switch (values.scalar_type()) {
    case at::kFloat: return ncclFloat32;
    case at::kDouble: return ncclFloat64;
    default:
      Fail("ranks can sum float32 and float64 tensors only, not {}",
           c10::toString(values.scalar_type()));
  }
}

class NcclLink : public GpuLink {
 public:
  NcclLink(c10::Device device, int rank, int size,
           const std::function<void(std::span<char> bytes)>& broadcast)
      : device_(device),
        rank_(rank),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {
    ncclUniqueId id{};
    if (rank == 0) Check(ncclGetUniqueId(&id));
    broadcast(id.internal);
    const c10::DeviceGuard guard(device_);
    Check(ncclCommInitRank(&comm_, size, id, rank));
  }
  ~NcclLink() override { ncclCommDestroy(comm_); }
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  void Reduce(const at::Tensor& values, int root) override {
    const ncclDataType_t type = SummedType(values);
    Send(values, [&](void* data) {
      return ncclReduce(data, rank_ == root ? data : nullptr, values.numel(), type, ncclSum, root,
                        comm_, stream_);
    });
  }

  void BeginBroadcast(const at::Tensor& values, int root) override {
    Send(values, [&](void* data) {
      return ncclBroadcast(data, data, values.nbytes(), ncclUint8, root, comm_, stream_);
    });
  }

  void Wait() override { Follow(Computation(), stream_); }

 private:
  c10::Stream Computation() const { return c10::cuda::getCurrentCUDAStream(device_.index()); }

  // Makes work issued to `later` from now on wait for work issued to `earlier` so far.
  static void Follow(const c10::Stream& later, const c10::Stream& earlier) {
    c10::Event done(c10::DeviceType::CUDA);
    done.record(earlier);
    done.block(later);
  }

  template <typename F>
  void Send(const at::Tensor& values, F f) {
    if (!values.is_contiguous()) Fail("ranks can exchange contiguous tensors only");
    const c10::DeviceGuard guard(device_);
    Follow(stream_, Computation());
    Check(f(values.data_ptr()));
    values.record_stream(stream_);  // keeps the memory until the transfer ends
  }

  c10::Device device_;
  int rank_;
  c10::cuda::CUDAStream stream_;
  ncclComm_t comm_ = nullptr;
};

}  // namespace

std::unique_ptr<GpuLink> ConnectGpus(c10::Device device, int rank, int size,
                                     const std::function<void(std::span<char> bytes)>& broadcast) {
  return std::make_unique<NcclLink>(device, rank, size, broadcast);
}

}  // namespace pivotal::dpo
