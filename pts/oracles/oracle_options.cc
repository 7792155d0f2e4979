// Apache-2.0.
#include "pts/oracles/oracle_options.h"

#include <algorithm>
#include <string_view>
#include <thread>

#include "data/error.h"

namespace pivotal::pts {
namespace {

template <typename T>
void CheckRange(std::string_view name, T value, T low, T high) {
  if (!(value >= low && value <= high))
    Fail("oracle {} must lie between {} and {}, not {}", name, low, high, value);
}

}  // namespace

void OracleOptions::Validate() const {
  CheckRange("timeout (seconds)", timeout, 0.1, 86'400.0);
  CheckRange<int64_t>("memory (MiB)", memory, 64, 1 << 20);  // Python itself takes about 30
  CheckRange("processes", processes, 4, 4096);
  CheckRange<int64_t>("output (KiB)", output, 1, 1 << 20);
  CheckRange<int64_t>("files (MiB)", files, 1, 1 << 20);
  CheckRange("threads", threads, 0, 4096);
}

int32_t OracleOptions::ThreadsOrCores() const {
  if (threads > 0) return threads;
  return std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
}

}  // namespace pivotal::pts
