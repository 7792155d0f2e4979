// Apache-2.0. Progress: how long work reports where it is and learns that it should stop.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace pivotal {

// A number that work has come to, such as {"tokens", 21300}.
struct ProgressNumber {
  std::string_view name;
  double value = 0;
};

// Receives reports from long work. The base class shows nothing and never asks to stop. All
// functions are called from the thread that does the work.
class Progress {
 public:
  virtual ~Progress() = default;
  // Begins a phase of `total` units (0: unknown), for example ("search", 300, "problems"). `done`
  // units were finished by an earlier run.
  virtual void Begin(std::string_view phase, int64_t total, std::string_view unit,
                     int64_t done = 0) {
    (void)phase, (void)total, (void)unit, (void)done;
  }
  // Reports that `done` units of the phase are finished. `detail` is a short text such as
  // "loss 0.31".
  virtual void Update(int64_t done, std::string_view detail) { (void)done, (void)detail; }
  // Tells those who watch the work from elsewhere which part is in hand, such as "problems 1 to
  // 64", and what it has come to. A number that was told before stays as it was unless it comes
  // again; so does the part where `part` is empty.
  virtual void Tell(std::string_view part, std::span<const ProgressNumber> numbers) {
    (void)part, (void)numbers;
  }
  // Ends the phase.
  virtual void End() {}
  // Returns true once work should stop: it then finishes its smallest unit, saves, and throws
  // Interrupted.
  virtual bool StopRequested() const { return false; }
};

}  // namespace pivotal
