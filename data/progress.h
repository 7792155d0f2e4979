// Apache-2.0. How long work reports where it is, and learns that it should stop.
#pragma once

#include <cstdint>
#include <string_view>

namespace pivotal {

// Given to long work by its caller. The default object shows nothing and never asks to stop.
// Update() and StopRequested() are called from the thread that does the work.
class Progress {
 public:
  virtual ~Progress() = default;
  // Begins a phase of `total` units (0: unknown), e.g. ("search", 300, "problems"), of which `done` are
  // finished already.
  virtual void Begin(std::string_view phase, int64_t total, std::string_view unit, int64_t done = 0) {
    (void)phase, (void)total, (void)unit, (void)done;
  }
  // `done` units of the phase are finished; `detail` is a short text such as "loss 0.31".
  virtual void Update(int64_t done, std::string_view detail) { (void)done, (void)detail; }
  virtual void End() {}
  // True once the user pressed Ctrl-C: finish the smallest unit of work, save, throw Interrupted.
  virtual bool StopRequested() const { return false; }
};

}  // namespace pivotal
