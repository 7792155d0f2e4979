// Apache-2.0. A stream of GPU work, work that is recorded once and replayed, and the time it takes.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>

namespace pivotal::model {

// Recorded work of a stream. It reads and writes the same memory in every replay.
class Recording {
 public:
  virtual ~Recording() = default;
  // Enqueues the work on its stream.
  virtual void Replay() = 0;
};

// A moment of a stream: when the device has done all that was enqueued before.
class Moment {
 public:
  virtual ~Moment() = default;
  // Waits for the moment.
  virtual void Wait() = 0;
  // Returns the seconds, by the device's clock, until a later moment of the same stream, for which
  // it waits.
  virtual double SecondsUntil(Moment& later) const = 0;
};

// An interface, so that tests can run the GPU's decoder on the CPU and count its calls.
class DeviceStream {
 public:
  virtual ~DeviceStream() = default;

  // The cudaStream_t, as kernels/cuda takes it.
  virtual void* handle() const = 0;
  // Calls `work`; whatever it enqueues, LibTorch's operators included, goes to this stream.
  virtual void Run(const std::function<void()>& work) = 0;
  // Records what `work` enqueues, without running it. `work` must not wait for the stream. Returns
  // null, and logs one line, if recording fails.
  virtual std::unique_ptr<Recording> Record(const std::function<void()>& work) = 0;
  // Returns the moment when what was enqueued so far is done.
  virtual std::unique_ptr<Moment> Mark() = 0;
  // Waits until all enqueued work is done.
  virtual void Wait() = 0;
};

// Makes a new stream on a CUDA device, after waiting for the work that the current stream has so
// far. Recordings are CUDA graphs. Exists only in builds with the CUDA kernels.
std::unique_ptr<DeviceStream> MakeCudaStream(c10::Device device);

}  // namespace pivotal::model
