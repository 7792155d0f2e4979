// Apache-2.0.
#include "model/cuda_stream.h"

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace pivotal::model {
namespace {

// Names a pool of LibTorch's allocators. Recordings share one, because they never run at once.
struct GraphPool {
  at::cuda::MempoolId_t id = at::cuda::graph_pool_handle();
};

struct CudaRecording : Recording {
  void Replay() override { graph.replay(); }

  std::shared_ptr<const GraphPool> pool;  // outlives the graph
  at::cuda::CUDAGraph graph;
};

struct CudaMoment : Moment {
  explicit CudaMoment(const c10::cuda::CUDAStream& stream) { event.record(stream); }
  void Wait() override { event.synchronize(); }
  double SecondsUntil(Moment& later) const override {
    const at::cuda::CUDAEvent& end = static_cast<const CudaMoment&>(later).event;
    end.synchronize();
    return event.elapsed_time(end) * 1e-3;
  }

  at::cuda::CUDAEvent event{cudaEventDefault};  // keeps the time
};

template <typename F>
bool Succeeds(F&& f) {
  try {
    f();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

class CudaStream : public DeviceStream {
 public:
  explicit CudaStream(c10::DeviceIndex device)
      : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)) {
    c10::cuda::getCurrentCUDAStream(device).synchronize();  // weights may still be in transfer
  }

  void* handle() const override { return stream_.stream(); }
  void Run(const std::function<void()>& work) override {
    const c10::cuda::CUDAStreamGuard guard(stream_);
    work();
  }
  std::unique_ptr<Recording> Record(const std::function<void()>& work) override {
    const c10::cuda::CUDAStreamGuard guard(stream_);
    auto recording = std::make_unique<CudaRecording>();
    try {
      stream_.synchronize();
      recording->pool = Pool();
      recording->graph.capture_begin(recording->pool->id, cudaStreamCaptureModeThreadLocal);
      work();
      recording->graph.capture_end();
      return recording;
    } catch (const std::exception& error) {
      if (recording->pool) Abandon(*recording);
      const std::string why = error.what();
      spdlog::warn("decoding goes on without CUDA graphs: {}", why.substr(0, why.find('\n')));
      return nullptr;
    }
  }
  std::unique_ptr<Moment> Mark() override { return std::make_unique<CudaMoment>(stream_); }
  void Wait() override { stream_.synchronize(); }

 private:
  // LibTorch's allocators, of the device and of page-locked memory, count the graphs of a pool and
  // refuse a pool whose last graph has gone. So a new one follows, once the old one's memory is
  // free.
  std::shared_ptr<const GraphPool> Pool() {
    if (auto pool = pool_.lock()) return pool;
    c10::cuda::CUDACachingAllocator::emptyCache();  // none can be freed during a recording
    auto pool = std::make_shared<const GraphPool>();
    pool_ = pool;
    return pool;
  }

  // Ends a failed capture, so that the stream and the allocators work as before. A capture that
  // failed early has not taken itself off the pool, which then does not die with its graph.
  void Abandon(CudaRecording& recording) const {
    if (Succeeds([&] { recording.graph.capture_end(); })) return;
    const at::cuda::MempoolId_t pool = recording.pool->id;
    namespace cuda = c10::cuda::CUDACachingAllocator;
    const auto device = stream_.device_index();
    if (Succeeds([&] { cuda::endAllocateToPool(device, pool); }))
      Succeeds([&] { cuda::releasePool(device, pool); });
    at::HostAllocator* const host = at::getHostAllocator(at::kCUDA);
    if (Succeeds([&] { host->end_allocate_to_pool(pool); }))
      Succeeds([&] { host->release_pool(pool); });
  }

  c10::cuda::CUDAStream stream_;
  std::weak_ptr<const GraphPool> pool_;  // of the recordings that live
};

}  // namespace

std::unique_ptr<DeviceStream> MakeCudaStream(c10::Device device) {
  return std::make_unique<CudaStream>(device.has_index() ? device.index()
                                                         : c10::cuda::current_device());
}

}  // namespace pivotal::model
