// Apache-2.0.
#include "model/step_clock.h"

#include <utility>

namespace pivotal::model {

void StepClock::End(int64_t rows) {
  passes_.push_back({std::move(begin_), stream_.Mark(), rows});
  constexpr std::size_t kMost = 64, kFew = 16;  // passes so long ago have ended: nothing waits
  if (passes_.size() > kMost) Count(kFew);
}

const DeviceTimes& StepClock::Times() {
  Count(0);
  return times_;
}

void StepClock::Count(std::size_t keep) {
  for (; passes_.size() > keep; passes_.pop_front()) {
    Pass& pass = passes_.front();
    const double seconds = pass.begin->SecondsUntil(*pass.end);
    if (last_end_ != nullptr) times_.idle_seconds += last_end_->SecondsUntil(*pass.begin);
    if (pass.rows > 0) {
      ++times_.steps;
      times_.rows += pass.rows;
      times_.step_seconds += seconds;
    } else {
      times_.other_seconds += seconds;
    }
    last_end_ = std::move(pass.end);
  }
}

}  // namespace pivotal::model
