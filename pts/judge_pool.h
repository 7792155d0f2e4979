// Apache-2.0. Judges responses on threads of its own while rollouts decode.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "pivotal/search.h"
#include "pts/verdicts.h"

namespace pivotal::pts {

class JudgePool {
 public:
  // Starts `threads` threads that ask `judge` at once; it must outlive the pool. Throws Error if
  // the system does not start so many.
  JudgePool(CountingJudge& judge, int32_t threads);
  ~JudgePool();  // drops responses that no thread has begun to judge
  JudgePool(const JudgePool&) = delete;
  JudgePool& operator=(const JudgePool&) = delete;

  // Queues a response to be judged. `query` and `verdict` must stay in place until Wait returns.
  void Submit(const Query& query, std::vector<TokenId> response, Verdict& verdict);
  // Waits until every submitted response is judged. Rethrows the first exception of `judge`. Throws
  // Interrupted once `progress` asks to stop; the pool can then only be destroyed.
  void Wait(const Progress& progress = {});
  // Returns the seconds that all calls of Wait() have taken.
  double waited_seconds() const { return waited_; }

 private:
  struct Task {
    const Query* query;
    std::vector<TokenId> response;
    Verdict* verdict;
  };
  void Work();
  void Stop();  // tells the threads to end once they have judged what they have begun

  CountingJudge& judge_;
  std::mutex mutex_;
  std::condition_variable work_, idle_;
  std::deque<Task> tasks_;
  int64_t open_ = 0;  // tasks that are submitted and not judged yet
  bool stop_ = false;
  double waited_ = 0;
  std::exception_ptr failure_;
  // Declared last, so that the threads are joined before the other members end.
  std::vector<std::jthread> threads_;
};

// Throws Error if the system does not start the threads of a JudgePool now. Callers ask before they
// write anything, so that a search does not fail halfway.
void RequireJudgeThreads(int32_t threads);

}  // namespace pivotal::pts
