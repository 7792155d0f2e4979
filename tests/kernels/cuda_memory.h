// Apache-2.0. The memory that kernels on the CPU may access, and a record of which thread accessed
// it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pivotal::kernels::cuda_on_cpu {

inline constexpr int kWarp = 32;

std::size_t PageBytes();
// Maps whole pages of zeros. Throws std::bad_alloc.
std::byte* MapPages(std::size_t bytes, int protection);

// Which thread made an access, and when. Blocks of all launches are numbered consecutively, so that
// a serial number names one block of one launch.
struct Event {
  uint32_t serial = 0;      // number of the block; 0: no access
  uint32_t epoch = 0;       // number of barriers that the block had passed
  uint32_t warp_epoch = 0;  // number of __syncwarps that the warp had passed
  uint16_t thread = 0;
  bool atomic = false;
};

// What warps have made visible to each other across blocks. What a warp did before __syncwarp, then
// __threadfence and an atomic operation by one of its lanes, is visible to a warp of which a lane
// does an atomic operation on the same element later, then __threadfence, and all lanes __syncwarp.
class Handovers {
 public:
  void BeginLaunch() { given_.clear(); }
  void BeginBlock();
  // Record what the thread of `now` does.
  void Fence(const Event& now);
  void Atomic(const void* element, const Event& now);
  // Records that all lanes of a warp of the present block have synchronized.
  void SyncWarp(int warp);
  // Returns true if what `before` did is visible to the warp of `now`.
  bool IsVisible(const Event& before, const Event& now) const;

 private:
  // By the serial number of a block and a warp of it: what the warp did in earlier warp epochs.
  using Done = std::map<std::pair<uint32_t, int>, uint32_t>;
  static void Merge(Done& into, const Done& more);
  static constexpr int kMaxThreads = 1024;

  std::map<const void*, Done> given_;              // at an element
  std::array<uint32_t, kMaxThreads> fenced_ = {};  // warp epoch of a thread's latest fence
  std::array<Done, kMaxThreads> taken_, seen_;     // by a thread: by atomic operations; fenced
  std::array<Done, kMaxThreads / kWarp> visible_;  // to a warp
};

// The latest accesses of an element.
struct Shadow {
  Event write, reads[2];
};

// An array between pages that cannot be accessed.
struct Region {
  std::string name;
  std::byte *map, *first;
  std::size_t map_bytes, bytes, element;
  bool shared;  // shared memory, which only the threads of one block see
  std::vector<Shadow> shadow;
};

// A data race: an earlier access that no barrier separates from the present one.
struct Race {
  Event before;
  const char* did;  // "wrote" or "read"
};

// The contents of all arrays but shared memory.
using Snapshot = std::vector<std::vector<std::byte>>;

// All arrays of the process.
class Memory {
 public:
  static Memory& Get();

  void Add(Region region);
  void Remove(std::byte* map);
  // Returns the array whose pages hold `p`, or null.
  Region* Find(const void* p);
  // Records an access within `region`, and returns the race that it makes, if any. `first_serial`
  // is the serial number of the first block of the present launch, `handovers` are of this launch.
  std::optional<Race> Note(Region& region, const void* p, std::size_t bytes, bool write,
                           const Event& now, uint32_t first_serial,
                           const Handovers& handovers) const;

  Snapshot Copy() const;
  void Restore(const Snapshot& snapshot);
  // Returns the first element that differs from `snapshot`, as ElementName() names it.
  std::optional<std::string> Difference(const Snapshot& snapshot) const;

 private:
  std::map<std::byte*, std::unique_ptr<Region>> regions_;  // by Region::map
  std::array<Region*, 64> near_ = {};                      // cache of Find(), by page
};

// Returns for example "index 12 of keys (12 elements of 4 bytes)".
std::string ElementName(const Region& region, const void* p);

// True while the code of a kernel runs. Accesses are recorded then only: in a debug build this
// library may share instrumented templates with the source of a kernel.
inline bool in_kernel = false;

// Clears in_kernel while a thread of a kernel is in this library.
class OutOfKernel {
 public:
  OutOfKernel() : before_(in_kernel) { in_kernel = false; }
  ~OutOfKernel() { in_kernel = before_; }

 private:
  bool before_;
};

// Reports an access by the running thread of a kernel, if one runs. Ends the launch if the access
// is out of bounds or makes a race.
void Touch(const void* p, std::size_t bytes, bool write, bool atomic = false);

}  // namespace pivotal::kernels::cuda_on_cpu
