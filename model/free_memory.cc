// Apache-2.0.
#include "model/free_memory.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace pivotal::model {
namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

// MemAvailable of /proc/meminfo, in bytes.
int64_t Available() {
  std::ifstream in("/proc/meminfo");
  std::string name, unit;
  int64_t kibibytes = 0;
  while (in >> name >> kibibytes && std::getline(in, unit))
    if (name == "MemAvailable:") return kibibytes * 1024;
  return kUnknown;
}

// Of the control group (version 2, as containers see it); "max" where there is no limit.
int64_t GroupFree() {
  const auto read = [](const char* path) {
    std::ifstream in(path);
    int64_t bytes = 0;
    return in >> bytes ? bytes : int64_t{-1};
  };
  const int64_t limit = read("/sys/fs/cgroup/memory.max"), used = read("/sys/fs/cgroup/memory.current");
  return limit < 0 || used < 0 ? kUnknown : std::max<int64_t>(0, limit - used);
}

}  // namespace

int64_t FreeMemory(c10::Device device) {
  if (device.is_cpu()) return std::min(Available(), GroupFree());
  const auto index = device.has_index() ? device.index() : c10::DeviceIndex{0};
  c10::DeviceAllocator* const allocator = c10::getDeviceAllocator(device.type());
  allocator->emptyCache();  // what LibTorch keeps of what was freed counts as free
  return static_cast<int64_t>(allocator->getMemoryInfo(index).first);
}

}  // namespace pivotal::model
