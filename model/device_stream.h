// Apache-2.0. What a GPU does beside LibTorch's operators: work in order, and work that was recorded once.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace pivotal::model {

// Work of a stream, on memory that stays where it is.
class Recording {
 public:
  virtual ~Recording() = default;
  // Puts the work on its stream again.
  virtual void Replay() = 0;
};

class DeviceStream {
 public:
  virtual ~DeviceStream() = default;

  // The cudaStream_t, as kernels/cuda takes it.
  virtual void* handle() const = 0;
  // What `work` puts on a stream, LibTorch's operators too, goes on this one.
  virtual void Run(const std::function<void()>& work) = 0;
  // Records what `work` puts on the stream; none of it is done yet, and none of it may wait for the stream. Null, and one
  // line in the log, where that can't be.
  virtual std::unique_ptr<Recording> Record(const std::function<void()>& work) = 0;
  // Until all is done.
  virtual void Wait() = 0;
};

// A stream of its own on a CUDA device, behind all that was asked of the device so far; recordings are CUDA graphs. Only in
// builds with the CUDA kernels.
std::unique_ptr<DeviceStream> MakeCudaStream(c10::Device device);

}  // namespace pivotal::model
