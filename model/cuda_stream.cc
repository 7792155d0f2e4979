// Apache-2.0.
#include "model/cuda_stream.h"

#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <string>

namespace pivotal::model {
namespace {

class CudaRecording : public Recording {
 public:
  void Replay() override { graph.replay(); }

  at::cuda::CUDAGraph graph;
};

class CudaMoment : public Moment {
 public:
  explicit CudaMoment(const c10::cuda::CUDAStream& stream) { event_.record(stream); }
  void Wait() override { event_.synchronize(); }

 private:
  at::cuda::CUDAEvent event_;
};

class CudaStream : public DeviceStream {
 public:
  explicit CudaStream(c10::DeviceIndex device)
      : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device)),
        pool_(at::cuda::graph_pool_handle()) {
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
    bool capturing = false;
    try {
      stream_.synchronize();
      recording->graph.capture_begin(pool_, cudaStreamCaptureModeThreadLocal);
      capturing = true;
      work();
      capturing = false;
      recording->graph.capture_end();
      return recording;
    } catch (const std::exception& error) {
      if (capturing) AbandonCapture(recording->graph);
      const std::string why = error.what();
      spdlog::warn("decoding goes on without CUDA graphs: {}", why.substr(0, why.find('\n')));
      return nullptr;
    }
  }
  std::unique_ptr<Moment> Mark() override { return std::make_unique<CudaMoment>(stream_); }
  void Wait() override { stream_.synchronize(); }

 private:
  // Ends a failed capture, so that the stream takes work again.
  static void AbandonCapture(at::cuda::CUDAGraph& graph) {
    try {
      graph.capture_end();
    } catch (const std::exception&) {  // the capture has failed already
    }
  }

  c10::cuda::CUDAStream stream_;
  at::cuda::MempoolId_t pool_;  // shared by all recordings, which never run at once
};

}  // namespace

std::unique_ptr<DeviceStream> MakeCudaStream(c10::Device device) {
  return std::make_unique<CudaStream>(device.has_index() ? device.index()
                                                         : c10::cuda::current_device());
}

}  // namespace pivotal::model
