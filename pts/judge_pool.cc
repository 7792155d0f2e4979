// Apache-2.0.
#include "pts/judge_pool.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "data/base/error.h"

namespace pivotal::pts {

JudgePool::JudgePool(CountingJudge& judge, int32_t threads) : judge_(judge) {
  try {
    for (int32_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  } catch (const std::system_error& error) {
    Stop();
    Fail(
        "the system starts no more than {} of the {} threads that ask the oracle ({}); lower "
        "--judge-threads, or raise the limit of processes (ulimit -u)",
        threads_.size(), threads, error.code().message());
  }
}

JudgePool::~JudgePool() { Stop(); }

void JudgePool::Stop() {
  const std::scoped_lock lock(mutex_);
  stop_ = true;
  work_.notify_all();
}

void JudgePool::Submit(const Query& query, std::vector<TokenId> response, Verdict& verdict) {
  const std::scoped_lock lock(mutex_);
  tasks_.push_back({&query, std::move(response), &verdict});
  ++open_;
  work_.notify_one();
}

void JudgePool::Wait(const Progress& progress) {
  constexpr auto kLook = std::chrono::milliseconds(50);  // between two looks at `progress`
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  while (!idle_.wait_for(lock, kLook, [&] { return open_ == 0; }))
    if (progress.StopRequested()) throw Interrupted("stopped while responses were judged");
  waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void JudgePool::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
    if (stop_) return;
    const Task task = std::move(tasks_.front());
    tasks_.pop_front();
    // After a failure the remaining tasks are only counted.
    const bool failed = failure_ != nullptr;
    lock.unlock();
    std::exception_ptr failure;
    try {
      if (!failed) *task.verdict = judge_(*task.query, task.response);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && !failure_) failure_ = failure;
    if (--open_ == 0) idle_.notify_all();
  }
}

void RequireJudgeThreads(int32_t threads) {
  const Judge none;  // nothing is judged
  CountingJudge counting(none, /*limit=*/1);
  const JudgePool pool(counting, threads);
}

}  // namespace pivotal::pts
