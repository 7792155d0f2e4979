// Apache-2.0. Threads that go through one piece of work together.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace pivotal::kernels {

// size() threads, the caller's among them. They wait for a short while in a loop, then asleep: nothing is
// lost where other programs want the CPU.
class ThreadTeam {
 public:
  explicit ThreadTeam(int size);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  // work(rank) on each thread, ranks 0..size-1, the caller's is 0; returns when all are done. `work` must not
  // throw.
  void Run(const std::function<void(int)>& work);

  // Within Run, on all threads: goes on when all have come here. What they wrote before is seen after.
  void Meet();

 private:
  void Serve(int rank);

  std::vector<std::thread> threads_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<uint32_t> job_ = 0;     // counts calls of Run
  std::atomic<int32_t> busy_ = 0;     // threads at work, beside the caller
  std::atomic<uint32_t> meeting_ = 0;  // counts meetings
  std::atomic<int32_t> arrived_ = 0;
  bool stop_ = false;
};

// The part [first, last) of `count` things that is thread `rank`'s of `size`, in multiples of `grain`.
struct Part {
  int64_t first, last;
};
Part PartOf(int64_t count, int rank, int size, int64_t grain = 1);

}  // namespace pivotal::kernels
