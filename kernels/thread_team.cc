// Apache-2.0.
#include "kernels/thread_team.h"

#include <algorithm>
#include <string>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "pivotal/error.h"

namespace pivotal::kernels {
namespace {

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Waits until `value` differs from `old`.
template <typename T>
void WaitWhile(const std::atomic<T>& value, T old) {
  constexpr int kTurns = 2000;  // about 50 microseconds
  for (int i = 0; i < kTurns; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadTeam::ThreadTeam(int size) {
  try {
    for (int rank = 1; rank < size; ++rank) threads_.emplace_back([this, rank] { RunJobs(rank); });
  } catch (const std::system_error& error) {
    const std::size_t started = threads_.size() + 1;
    Stop();
    throw Error("the system starts no more than " + std::to_string(started) + " of the " +
                std::to_string(size) + " threads that compute (" + error.code().message() +
                "); set OMP_NUM_THREADS to fewer, or raise the limit of processes (ulimit -u)");
  }
}

ThreadTeam::~ThreadTeam() { Stop(); }

void ThreadTeam::Stop() {
  stop_ = true;
  ++job_;
  job_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::RunJobs(int rank) {
  for (uint32_t job = 0;;) {
    WaitWhile(job_, job++);
    if (stop_) return;
    (*work_)(rank);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

void ThreadTeam::Run(const std::function<void(int)>& work) {
  if (threads_.empty()) return work(0);
  work_ = &work;
  busy_ = static_cast<int32_t>(threads_.size());
  job_.fetch_add(1, std::memory_order_acq_rel);
  job_.notify_all();
  work(0);
  for (int32_t busy = busy_; busy != 0; busy = busy_) WaitWhile(busy_, busy);
}

void ThreadTeam::Barrier() {
  if (threads_.empty()) return;
  const uint32_t barrier = barrier_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size()) {
    arrived_.store(0, std::memory_order_relaxed);
    barrier_.fetch_add(1, std::memory_order_acq_rel);
    barrier_.notify_all();
  } else {
    WaitWhile(barrier_, barrier);
  }
}

Part PartOf(int64_t count, int rank, int size, int64_t grain) {
  const int64_t grains = (count + grain - 1) / grain;
  const auto edge = [&](int64_t r) { return std::min(count, grains * r / size * grain); };
  return {edge(rank), edge(rank + 1)};
}

}  // namespace pivotal::kernels
