// Apache-2.0. The memory that kernels on the CPU may touch, and who did.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pivotal::kernels::cuda_on_cpu {

inline constexpr int kWarp = 32;

std::size_t PageBytes();
// Whole pages of zeros. Throws std::bad_alloc.
std::byte* MapPages(std::size_t bytes, int protection);

// An access of a thread. Blocks of launches are numbered on: a block's serial number is never used again.
struct Event {
  uint32_t serial = 0;      // 0: none
  uint32_t epoch = 0;       // barriers that the block has passed
  uint32_t warp_epoch = 0;  // __syncwarps that the warp has
  uint16_t thread = 0;
  bool atomic = false;
};

// The last accesses of an element.
struct Shadow {
  Event write, reads[2];
};

// An array between pages that can't be touched.
struct Region {
  std::string name;
  std::byte *map, *first;
  std::size_t map_bytes, bytes, element;
  bool shared;  // by the threads of a block alone
  std::vector<Shadow> shadow;
};

// An access that another came before, with no barrier between.
struct Clash {
  Event before;
  const char* did;  // "wrote", "read"
};

using Snapshot = std::vector<std::vector<std::byte>>;

// All arrays. One for the process.
class Memory {
 public:
  static Memory& Get();

  void Add(Region region);
  void Remove(std::byte* map);
  // Whose pages `p` is in, null if none's.
  Region* Find(const void* p);
  // Takes down an access within `region`, in the launch whose blocks begin with `first_serial`.
  std::optional<Clash> Note(Region& region, const void* p, std::size_t bytes, bool write, const Event& now,
                            uint32_t first_serial) const;

  // Of what is not shared memory.
  Snapshot Copy() const;
  void Restore(const Snapshot& snapshot);
  // The place of the first difference.
  std::optional<std::string> Difference(const Snapshot& snapshot) const;

 private:
  std::map<std::byte*, std::unique_ptr<Region>> regions_;  // by map
  std::array<Region*, 64> near_ = {};                      // the last of a page
};

// "index 12 of keys (12 elements of 4 bytes)"
std::string Place(const Region& region, const void* p);

}  // namespace pivotal::kernels::cuda_on_cpu
