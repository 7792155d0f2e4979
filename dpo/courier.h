// Apache-2.0. The thread of a rank that transfers tensors beside the computation.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace pivotal::dpo {

// Makes transfers one after another, in the order in which they were given, on a thread of its own.
// All ranks must give the same ones. No other thread may transfer before Finish() has returned.
class Courier {
 public:
  Courier() = default;
  // Drops transfers that have not begun, and waits for the one that has.
  ~Courier();
  Courier(const Courier&) = delete;
  Courier& operator=(const Courier&) = delete;

  // Adds a transfer; returns its number. Throws Error if the system does not start the thread.
  int64_t Add(std::function<void()> transfer);
  // Waits for a transfer and for all before it. Throws what the first one that failed has thrown;
  // those after it were dropped.
  void Wait(int64_t number);
  // Waits for all transfers, as Wait() does.
  void Finish();

 private:
  void Run();

  std::thread thread_;  // started by the first Add()
  std::mutex mutex_;
  std::condition_variable added_, made_;
  std::deque<std::function<void()>> waiting_;
  int64_t added_count_ = 0, made_count_ = 0;
  std::exception_ptr failure_;
  bool stop_ = false;
};

}  // namespace pivotal::dpo
