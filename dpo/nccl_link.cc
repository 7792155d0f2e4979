// Apache-2.0.
#include <c10/core/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include "data/error.h"
#include "dpo/gpu_link.h"

namespace pivotal::dpo {
namespace {

void Check(ncclResult_t result) {
  if (result != ncclSuccess)
    Fail("NCCL: {}; NCCL_DEBUG=INFO tells more, and each rank needs a GPU of its own",
         ncclGetErrorString(result));
}

ncclDataType_t SummedType(const at::Tensor& values) {
  switch (values.scalar_type()) {
    case at::kFloat: return ncclFloat32;
    case at::kDouble: return ncclFloat64;
    default: Fail("ranks sum float32 and float64, not {}", c10::toString(values.scalar_type()));
  }
}

class NcclLink : public GpuLink {
 public:
  NcclLink(c10::Device device, int rank, int size,
           const std::function<void(std::span<char> bytes)>& share)
      : device_(device), rank_(rank),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {
    ncclUniqueId id{};
    if (rank == 0) Check(ncclGetUniqueId(&id));
    share(id.internal);
    const c10::DeviceGuard guard(device_);
    Check(ncclCommInitRank(&comm_, size, id, rank));
  }
  ~NcclLink() override { ncclCommDestroy(comm_); }
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  void Reduce(const at::Tensor& values, int root) override {
    const ncclDataType_t type = SummedType(values);
    Send(values, [&](void* data) {
      return ncclReduce(data, rank_ == root ? data : nullptr, values.numel(), type, ncclSum, root, comm_,
                        stream_);
    });
  }

  void Broadcast(const at::Tensor& values, int root) override {
    Send(values, [&](void* data) {
      return ncclBroadcast(data, data, values.nbytes(), ncclUint8, root, comm_, stream_);
    });
    Wait();
  }

  void Wait() override { Follow(Computation(), stream_); }

 private:
  c10::Stream Computation() const { return c10::cuda::getCurrentCUDAStream(device_.index()); }

  // `later` goes on when `earlier` has done what it was given so far.
  static void Follow(const c10::Stream& later, const c10::Stream& earlier) {
    c10::Event done(c10::DeviceType::CUDA);
    done.record(earlier);
    done.block(later);
  }

  template <typename F>
  void Send(const at::Tensor& values, F f) {
    if (!values.is_contiguous()) Fail("ranks exchange contiguous tensors only");
    const c10::DeviceGuard guard(device_);
    Follow(stream_, Computation());
    Check(f(values.data_ptr()));
    values.record_stream(stream_);  // its memory is taken until then
  }

  c10::Device device_;
  int rank_;
  c10::cuda::CUDAStream stream_;
  ncclComm_t comm_ = nullptr;
};

}  // namespace

std::unique_ptr<GpuLink> JoinGpus(c10::Device device, int rank, int size,
                                  const std::function<void(std::span<char> bytes)>& share) {
  return std::make_unique<NcclLink>(device, rank, size, share);
}

}  // namespace pivotal::dpo
