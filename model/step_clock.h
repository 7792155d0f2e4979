// Apache-2.0. How long a decoder's passes take on a GPU, and how long it is idle between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "model/cuda_stream.h"
#include "model/decoder.h"

namespace pivotal::model {

// Takes the times of passes of one stream, which follow one another: Begin() just before the first
// work of a pass is enqueued, and End() just after the last.
class StepClock {
 public:
  // The stream must outlive the clock.
  explicit StepClock(DeviceStream& stream) : stream_(stream) {}

  void Begin() { begin_ = stream_.Mark(); }
  // Ends a step that decodes `rows` rows; 0 rows: a pass that is no such step, as a prefill.
  void End(int64_t rows);
  // Returns the times of all passes so far, for which it waits.
  const DeviceTimes& Times();

 private:
  struct Pass {
    std::unique_ptr<Moment> begin, end;
    int64_t rows;
  };
  // Adds the times of passes, the first ones, until `keep` are left.
  void Count(std::size_t keep);

  DeviceStream& stream_;
  std::unique_ptr<Moment> begin_, last_end_;
  std::deque<Pass> passes_;  // not counted yet
  DeviceTimes times_;
};

}  // namespace pivotal::model
