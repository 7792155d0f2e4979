// Apache-2.0. Verdicts on threads of their own, while rollouts decode.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "pts/search.h"

namespace pivotal::pts {

class JudgePool {
 public:
  // `judge` is called from `threads` threads at once and outlives the pool.
  JudgePool(const Judge& judge, int32_t threads);
  ~JudgePool();  // forgets what has not begun
  JudgePool(const JudgePool&) = delete;
  JudgePool& operator=(const JudgePool&) = delete;

  // Judges a response; `query` and `verdict` stay where they are until Wait returns.
  void Submit(const Query& query, std::vector<TokenId> response, uint8_t& verdict);
  // Returns once all that was submitted is judged. Rethrows the first exception of `judge`.
  void Wait();
  // What Wait() has taken so far.
  double waited_seconds() const { return waited_; }

 private:
  struct Task {
    const Query* query;
    std::vector<TokenId> response;
    uint8_t* verdict;
  };
  void Work();

  const Judge& judge_;
  std::mutex mutex_;
  std::condition_variable work_, idle_;
  std::deque<Task> tasks_;
  int64_t open_ = 0;  // tasks submitted and not judged
  bool stop_ = false;
  double waited_ = 0;
  std::exception_ptr failure_;
  std::vector<std::jthread> threads_;  // last: joined before the rest goes
};

}  // namespace pivotal::pts
