// Apache-2.0.
#include "data/base/parallel.h"

#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace pivotal::data {

void ParallelFor(std::size_t count, int threads, const std::function<void(std::size_t)>& body) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::exception_ptr error;
  std::size_t error_at = count;
  const auto work = [&] {
    for (std::size_t at; (at = next++) < count;) {
      try {
        body(at);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (at < error_at) error = std::current_exception(), error_at = at;
        next = count;
      }
    }
  };
  {
    std::vector<std::jthread> others;
    try {
      for (std::size_t i = 1; i < count && std::cmp_less(i, threads); ++i)
        others.emplace_back(work);
    } catch (const std::system_error&) {
      // The system starts no more threads; those that run do the work.
    }
    work();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace pivotal::data
