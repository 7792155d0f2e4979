// Apache-2.0.
#include "dpo/courier.h"

#include <c10/core/GradMode.h>

#include <system_error>
#include <utility>

#include "data/base/error.h"

namespace pivotal::dpo {

Courier::~Courier() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  added_.notify_one();
  thread_.join();
}

int64_t Courier::Add(std::function<void()> transfer) {
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error& error) {
      Fail(
          "the system does not start the thread that exchanges tensors ({}); raise the limit of "
          "processes (ulimit -u)",
          error.code().message());
    }
  }
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(transfer));
  added_.notify_one();
  return ++added_count_;
}

void Courier::Wait(int64_t number) {
  std::unique_lock lock(mutex_);
  made_.wait(lock, [&] { return made_count_ >= number; });
  if (failure_) std::rethrow_exception(failure_);
}

void Courier::Finish() {
  int64_t last = 0;
  {
    const std::lock_guard lock(mutex_);
    last = added_count_;
  }
  Wait(last);
}

void Courier::Run() {
  const c10::NoGradGuard no_grad;
  std::unique_lock lock(mutex_);
  while (true) {
    added_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const std::function<void()> transfer = std::move(waiting_.front());
    waiting_.pop_front();
    const bool failed = failure_ != nullptr;
    lock.unlock();
    std::exception_ptr failure;
    try {
      if (!failed) transfer();
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) failure_ = failure;
    ++made_count_;
    made_.notify_all();
  }
}

}  // namespace pivotal::dpo
