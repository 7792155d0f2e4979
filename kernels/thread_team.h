// Apache-2.0. A fixed team of threads that run one function together, with barriers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace pivotal::kernels {

// A team of size() threads, of which the caller is one. Waiting threads spin for about 50
// microseconds and sleep after that, so that they leave the CPU to other programs.
class ThreadTeam {
 public:
  // Throws Error if the system does not start so many threads.
  explicit ThreadTeam(int size);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls work(rank) on each thread and returns when all calls have. Ranks are 0..size-1; the
  // caller has rank 0. `work` must not throw.
  void Run(const std::function<void(int)>& work);

  // Waits, within Run, until all threads of the team have called this. Each thread then sees what
  // the others wrote before.
  void Barrier();

 private:
  void RunJobs(int rank);
  void Stop();  // ends the threads, which must have no job, and waits for them

  std::vector<std::thread> threads_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<uint32_t> job_ = 0;      // number of calls of Run so far
  std::atomic<int32_t> busy_ = 0;      // threads still in `work`, without the caller
  std::atomic<uint32_t> barrier_ = 0;  // number of barriers passed so far
  std::atomic<int32_t> arrived_ = 0;   // threads that wait at the current barrier
  bool stop_ = false;
};

// A range [first, last) of items.
struct Part {
  int64_t first, last;
};
// Returns the part of `count` items that thread `rank` of `size` computes. Parts begin at multiples
// of `grain`.
Part PartOf(int64_t count, int rank, int size, int64_t grain = 1);

}  // namespace pivotal::kernels
