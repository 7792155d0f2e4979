// Apache-2.0. A stream whose clock the test sets.
#pragma once

#include <functional>
#include <memory>

#include "model/cuda_stream.h"

namespace pivotal::testing {

struct StreamUses {
  int recordings = 0, replays = 0, waits = 0;
  int intervals = 0;  // between moments, that somebody asked for
  double now = 0;     // the device's clock, in seconds
};

// Runs work at once. A mark is a moment of StreamUses::now.
class TimedStream : public model::DeviceStream {
 public:
  explicit TimedStream(StreamUses& uses) : uses_(uses) {}

  void* handle() const override { return nullptr; }
  void Run(const std::function<void()>& work) override { work(); }
  std::unique_ptr<model::Recording> Record(const std::function<void()>& work) override {
    ++uses_.recordings;
    return std::make_unique<Replayed>(uses_, work);
  }
  std::unique_ptr<model::Moment> Mark() override { return std::make_unique<At>(uses_); }
  void Wait() override { ++uses_.waits; }

 private:
  struct At : model::Moment {
    explicit At(StreamUses& uses) : uses(uses), time(uses.now) {}
    void Wait() override {}
    double SecondsUntil(Moment& later) const override {
      ++uses.intervals;
      return static_cast<const At&>(later).time - time;
    }
    StreamUses& uses;
    double time;
  };
  struct Replayed : model::Recording {
    Replayed(StreamUses& uses, std::function<void()> work) : uses(uses), work(std::move(work)) {}
    void Replay() override {
      ++uses.replays;
      work();
    }
    StreamUses& uses;
    std::function<void()> work;
  };

  StreamUses& uses_;
};

}  // namespace pivotal::testing
