// Apache-2.0.
#include "tests/kernels/cuda_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include "tests/kernels/cuda_on_cpu.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace pivotal::kernels::cuda_on_cpu {
namespace {

std::size_t WholePages(std::size_t bytes) {
  return (bytes + PageBytes() - 1) / PageBytes() * PageBytes();
}

bool IsRace(const Region& region, const Event& before, const Event& now, uint32_t first_serial,
            const Handovers& handovers) {
  if (before.serial < first_serial || (before.atomic && now.atomic)) return false;
  if (before.serial != now.serial && region.shared) return false;
  if (handovers.IsVisible(before, now)) return false;
  if (before.serial != now.serial) return true;
  if (before.thread == now.thread || before.epoch != now.epoch) return false;
  return before.thread / kWarp != now.thread / kWarp || before.warp_epoch == now.warp_epoch;
}

}  // namespace

std::size_t PageBytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::byte* MapPages(std::size_t bytes, int protection) {
  void* map = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(map);
}

std::string ElementName(const Region& region, const void* p) {
  const auto offset = static_cast<const std::byte*>(p) - region.first;
  const auto element = static_cast<std::ptrdiff_t>(region.element);
  const std::ptrdiff_t index =
      offset >= 0 ? offset / element : -((-offset + element - 1) / element);
  return fmt::format("index {} of {} ({} elements of {} bytes)", index, region.name,
                     region.bytes / region.element, region.element);
}

Memory& Memory::Get() {
  static Memory memory;
  return memory;
}

void Memory::Add(Region region) {
  region.shadow.resize((region.bytes + region.element - 1) / region.element);
  std::byte* const map = region.map;
  regions_[map] = std::make_unique<Region>(std::move(region));
  near_.fill(nullptr);
}

void Memory::Remove(std::byte* map) {
  regions_.erase(map);
  near_.fill(nullptr);
}

Region* Memory::Find(const void* p) {
  Region*& near = near_[reinterpret_cast<uintptr_t>(p) / 4096 % near_.size()];
  const auto inside = [&](const Region& r) { return p >= r.map && p < r.map + r.map_bytes; };
  if (near != nullptr && inside(*near)) return near;
  auto next = regions_.upper_bound(static_cast<std::byte*>(const_cast<void*>(p)));
  if (next == regions_.begin() || !inside(*std::prev(next)->second)) return nullptr;
  return near = std::prev(next)->second.get();
}

void Handovers::Merge(Done& into, const Done& more) {
  for (const auto& [warp, epoch] : more) into[warp] = std::max(into[warp], epoch);
}

void Handovers::BeginBlock() {
  fenced_.fill(0);
  for (auto* const all : {&taken_, &seen_})
    for (Done& done : *all) done.clear();
  for (Done& done : visible_) done.clear();
}

void Handovers::Fence(const Event& now) {
  fenced_[now.thread] = now.warp_epoch;
  Merge(seen_[now.thread], taken_[now.thread]);
}

void Handovers::Atomic(const void* element, const Event& now) {
  Done& given = given_[element];
  Merge(taken_[now.thread], given);
  Merge(given, {{{now.serial, now.thread / kWarp}, fenced_[now.thread]}});
}

void Handovers::SyncWarp(int warp) {
  for (int thread = warp * kWarp; thread < (warp + 1) * kWarp; ++thread)
    Merge(visible_[warp], seen_[thread]);
}

bool Handovers::IsVisible(const Event& before, const Event& now) const {
  const Done& visible = visible_[now.thread / kWarp];
  const auto done = visible.find({before.serial, before.thread / kWarp});
  return done != visible.end() && before.warp_epoch < done->second;
}

std::optional<Race> Memory::Note(Region& region, const void* p, std::size_t bytes, bool write,
                                 const Event& now, uint32_t first_serial,
                                 const Handovers& handovers) const {
  const auto offset = static_cast<std::size_t>(static_cast<const std::byte*>(p) - region.first);
  for (std::size_t i = offset / region.element; i * region.element < offset + bytes; ++i) {
    Shadow& shadow = region.shadow[i];
    if (IsRace(region, shadow.write, now, first_serial, handovers))
      return Race{shadow.write, "wrote"};
    if (write) {
      for (const Event& read : shadow.reads)
        if (IsRace(region, read, now, first_serial, handovers)) return Race{read, "read"};
      shadow.write = now;
    } else {
      if (shadow.reads[0].thread != now.thread || shadow.reads[0].serial != now.serial)
        shadow.reads[1] = shadow.reads[0];
      shadow.reads[0] = now;
    }
  }
  return std::nullopt;
}

Snapshot Memory::Copy() const {
  Snapshot copies;
  for (const auto& [map, region] : regions_)
    if (!region->shared) copies.emplace_back(region->first, region->first + region->bytes);
  return copies;
}

void Memory::Restore(const Snapshot& snapshot) {
  auto copy = snapshot.begin();
  for (const auto& [map, region] : regions_)
    if (!region->shared) std::ranges::copy(*copy++, region->first);
}

std::optional<std::string> Memory::Difference(const Snapshot& snapshot) const {
  auto copy = snapshot.begin();
  for (const auto& [map, region] : regions_) {
    if (region->shared) continue;
    const std::byte* const at = std::mismatch(copy->begin(), copy->end(), region->first).second;
    if (at != region->first + region->bytes) return ElementName(*region, at);
    ++copy;
  }
  return std::nullopt;
}

GuardedMemory::GuardedMemory(std::string name, std::size_t bytes, std::size_t element, bool shared)
    : bytes_(bytes), element_(element) {
  map_bytes_ = WholePages(bytes) + 2 * PageBytes();
  map_ = MapPages(map_bytes_, PROT_NONE);
  if (bytes > 0) mprotect(map_ + PageBytes(), WholePages(bytes), PROT_READ | PROT_WRITE);
  data_ = map_ + map_bytes_ - PageBytes() - bytes;
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(map_ + PageBytes(),
                            data_ - map_ - PageBytes());  // bytes before the first element
#endif
  // Larger elements are structs, whose fields are written one by one: accesses are recorded for
  // each word of four bytes.
  Memory::Get().Add(
      {std::move(name), map_, data_, map_bytes_, bytes, element > 8 ? 4 : element, shared, {}});
}

GuardedMemory::~GuardedMemory() {
  Memory::Get().Remove(map_);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(map_, map_bytes_);
#endif
  munmap(map_, map_bytes_);
}

}  // namespace pivotal::kernels::cuda_on_cpu
