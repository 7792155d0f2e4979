// Apache-2.0.
#undef _FORTIFY_SOURCE  // its longjmp knows no other stacks
#include "tests/kernels/cuda_on_cpu.h"

#include <fmt/format.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/packed_matrix.h"
#include "kernels/philox.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

extern "C" {
extern char __executable_start[], _end[];  // of the program, by the linker
}

namespace pivotal::kernels::cuda_on_cpu {
namespace {

constexpr int kWarp = 32, kMaxThreads = 1024;
constexpr std::size_t kStackBytes = 128 << 10;
constexpr std::size_t kMaxShared = 48 << 10;  // without leave to take more

std::size_t PageBytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}
std::size_t WholePages(std::size_t bytes) { return (bytes + PageBytes() - 1) / PageBytes() * PageBytes(); }

std::byte* Map(std::size_t bytes, int protection) {
  void* map = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(map);
}

// True while a kernel's own code runs. Else nothing is watched: in a debug build this library may share instrumented
// templates with a kernel's source.
bool in_kernel = false;

// While a kernel's thread is in this library.
class OutOfKernel {
 public:
  OutOfKernel() : before_(in_kernel) { in_kernel = false; }
  ~OutOfKernel() { in_kernel = before_; }

 private:
  bool before_;
};

// Set by instrumented sources before main().
bool watches_accesses = false;

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

struct Region {
  std::string name;
  std::byte *map, *first;
  std::size_t map_bytes, bytes, element;
  bool shared;
  std::vector<Shadow> shadow;
};

enum class State { kReady, kAtBarrier, kAtWarp, kReturned };

// A flow of control with its own stack; the first is the launcher's.
struct Flow {
  ucontext_t context;
  jmp_buf jump;
  bool started = false;
  std::byte* stack = nullptr;
  std::size_t stack_bytes = 0;
  void* fake_stack = nullptr;  // AddressSanitizer's
};

struct Fiber : Flow {
  State state = State::kReady;
  Site site;
  WarpOperation operation;
  unsigned mask = 0;
  uint64_t bits = 0, result = 0;
  int argument = 0, width = 0;
};

bool SameSite(const Site& a, const Site& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}
std::string Name(const Site& site) {
  const std::string path = site.file_name();
  return fmt::format("{}:{}", path.substr(path.rfind('/') + 1), site.line());
}
const char* Name(WarpOperation operation) {
  switch (operation) {
    case WarpOperation::kShuffle: return "__shfl_sync";
    case WarpOperation::kShuffleXor: return "__shfl_xor_sync";
    case WarpOperation::kShuffleUp: return "__shfl_up_sync";
    case WarpOperation::kShuffleDown: return "__shfl_down_sync";
    case WarpOperation::kBallot: return "__ballot_sync";
    default: return "__syncwarp";
  }
}
const char* Name(Schedule schedule) {
  constexpr const char* kNames[] = {"forward", "backward", "random", "random again"};
  return kNames[static_cast<int>(schedule)];
}
std::string Name(dim3 at) { return fmt::format("({}, {}, {})", at.x, at.y, at.z); }
dim3 At(std::size_t index, dim3 size) {
  return dim3(static_cast<unsigned>(index % size.x), static_cast<unsigned>(index / size.x % size.y),
              static_cast<unsigned>(index / size.x / size.y));
}
std::size_t Count(dim3 size) { return std::size_t{size.x} * size.y * size.z; }

class Machine {
 public:
  static Machine& Get() {
    static Machine machine;
    return machine;
  }

  // Those before.
  std::vector<Schedule> SetSchedules(std::vector<Schedule> schedules) {
    return std::exchange(schedules_, std::move(schedules));
  }
  void Launch(const LaunchShape& shape, void (*thread)(const void*), const void* arguments, std::size_t bytes);

  void Add(const std::string& name, std::byte* map, std::size_t map_bytes, std::byte* first, std::size_t bytes,
           std::size_t element, bool shared);
  void Remove(std::byte* map) {
    std::erase_if(regions_, [&](const auto& item) { return item.first == map; });
    near_.fill(nullptr);
  }

  bool in_thread() const { return current_ != nullptr; }
  // Of the thread that runs.
  void Watch(const void* p, std::size_t bytes, bool write, bool atomic);
  void Barrier(const Site& site);
  uint64_t Exchange(WarpOperation operation, unsigned mask, uint64_t bits, int argument, int width, const Site& site);
  void* TakeShared(std::size_t index, std::size_t bytes, std::size_t element);
  void Segfault(const void* p);
  [[noreturn]] void Enter();

 private:
  void RunBlock(Schedule schedule, std::size_t block, RandomStream& random);
  void Resume(int thread);
  void Start(Fiber& fiber);
  void Leave();  // to the launcher; comes back when the thread goes on
  // Ends the launch. `say()` is what happened; a thread that fails isn't unwound, so it must own nothing.
  template <typename F>
  [[noreturn]] void Fail(F say) {
    FailAs(Index(), say);
  }
  template <typename F>
  [[noreturn]] void FailAs(int thread, F say) {
    SetFailure(thread, say());
    Leave();
    std::abort();  // nobody resumes it
  }
  void SetFailure(int thread, const std::string& what);
  bool ReleaseBarrier();
  void ReportStandstill();
  // The lane that a shuffle reads from.
  static int SourceOf(int lane, const Fiber& self);
  static void Switch(Flow& from, Flow& to);

  int Index() const { return static_cast<int>(current_ - fibers_.data()); }
  std::string ThreadName(int thread) const { return Name(At(static_cast<std::size_t>(thread), shape_->block)); }
  Region* Find(const void* p);
  std::string Place(const Region& region, const void* p) const;
  bool Clashes(const Region& region, const Event& before, const Event& now) const;
  std::vector<std::vector<std::byte>> Snapshot() const;
  void Restore(const std::vector<std::vector<std::byte>>& snapshot);
  void Compare(const std::vector<std::vector<std::byte>>& first, Schedule schedule) const;

  std::vector<Schedule> schedules_ = {Schedule::kForward, Schedule::kBackward, Schedule::kRandom,
                                      Schedule::kRandomAgain};
  std::map<std::byte*, std::unique_ptr<Region>> regions_;  // by map
  std::array<Region*, 64> near_ = {};                      // the last of a page
  std::vector<std::unique_ptr<GuardedMemory>> shared_;     // arrays, as they are taken
  std::size_t taken_ = 0, taken_bytes_ = 0;
  uint8_t garbage_ = 0;

  const LaunchShape* shape_ = nullptr;
  void (*thread_)(const void*) = nullptr;
  const void* arguments_ = nullptr;
  std::size_t argument_bytes_ = 0;
  Flow launcher_;
  std::vector<Fiber> fibers_ = std::vector<Fiber>(kMaxThreads);
  int threads_ = 0;  // of a block
  Fiber* current_ = nullptr;
  uint32_t serial_ = 0, first_serial_ = 1, epoch_ = 0;
  std::array<uint32_t, kMaxThreads / kWarp> warp_epochs_ = {};
  std::optional<std::string> failure_;
  bool making_shared_ = false;

  friend class cuda_on_cpu::GuardedMemory;
};

void Machine::Add(const std::string& name, std::byte* map, std::size_t map_bytes, std::byte* first, std::size_t bytes,
                  std::size_t element, bool shared) {
  // What is written a field at a time is watched a word at a time.
  const std::size_t watched = element > 8 ? 4 : element;
  regions_[map] = std::make_unique<Region>(
      Region{name, map, first, map_bytes, bytes, watched, shared, std::vector<Shadow>((bytes + watched - 1) / watched)});
  near_.fill(nullptr);
}

Region* Machine::Find(const void* p) {
  Region*& near = near_[reinterpret_cast<uintptr_t>(p) / 4096 % near_.size()];
  const auto inside = [&](const Region& r) { return p >= r.map && p < r.map + r.map_bytes; };
  if (near != nullptr && inside(*near)) return near;
  auto next = regions_.upper_bound(static_cast<std::byte*>(const_cast<void*>(p)));
  if (next == regions_.begin() || !inside(*std::prev(next)->second)) return nullptr;
  return near = std::prev(next)->second.get();
}

// "index 12 of keys (12 elements of 4 bytes)"
std::string Machine::Place(const Region& region, const void* p) const {
  const auto offset = static_cast<const std::byte*>(p) - region.first;
  const auto element = static_cast<std::ptrdiff_t>(region.element);
  const std::ptrdiff_t index = offset >= 0 ? offset / element : -((-offset + element - 1) / element);
  return fmt::format("index {} of {} ({} elements of {} bytes)", index, region.name, region.bytes / region.element,
                     region.element);
}

bool Machine::Clashes(const Region& region, const Event& before, const Event& now) const {
  if (before.serial < first_serial_ || (before.atomic && now.atomic)) return false;
  if (before.serial != now.serial) return !region.shared;
  if (before.thread == now.thread || before.epoch != now.epoch) return false;
  return before.thread / kWarp != now.thread / kWarp || before.warp_epoch == now.warp_epoch;
}

void Machine::Watch(const void* p, std::size_t bytes, bool write, bool atomic) {
  const auto at = static_cast<const std::byte*>(p);
  if (at >= current_->stack && at < current_->stack + kStackBytes) return;
  Region* const region = Find(p);
  const char* const does = write ? "writes" : "reads";
  if (region == nullptr) {
    const bool constant = p >= __executable_start && p < _end;
    const bool argument = at >= arguments_ && at < static_cast<const std::byte*>(arguments_) + argument_bytes_;
    if (!write && (constant || argument)) return;
    Fail([&] { return fmt::format("{} {} bytes at {}, which no array has", does, bytes, p); });
  }
  if (at < region->first || at + bytes > region->first + region->bytes)
    Fail([&] { return fmt::format("{} out of bounds: {}", does, Place(*region, p)); });
  const int thread = Index();
  const Event now = {serial_, epoch_, warp_epochs_[thread / kWarp], static_cast<uint16_t>(thread), atomic};
  const std::size_t offset = static_cast<std::size_t>(at - region->first);
  for (std::size_t i = offset / region->element; i * region->element < offset + bytes; ++i) {
    Shadow& shadow = region->shadow[i];
    const auto clash = [&](const Event& before, const char* did) {
      if (!Clashes(*region, before, now)) return;
      Fail([&] {
        const std::string who = before.serial == serial_ ? "thread " + ThreadName(before.thread) : "another block";
        return fmt::format("{} what {} {}, with no barrier between: {}", does, who, did, Place(*region, p));
      });
    };
    clash(shadow.write, "wrote");
    if (write) {
      for (const Event& read : shadow.reads) clash(read, "read");
      shadow.write = now;
    } else {
      if (shadow.reads[0].thread != now.thread || shadow.reads[0].serial != now.serial) shadow.reads[1] = shadow.reads[0];
      shadow.reads[0] = now;
    }
  }
}

void Machine::Switch(Flow& from, Flow& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake_stack, to.stack, to.stack_bytes);
  swapcontext(&from.context, &to.context);
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#else
  // swapcontext is two system calls.
  if (_setjmp(from.jump) != 0) return;
  if (to.started) _longjmp(to.jump, 1);
  to.started = true;
  setcontext(&to.context);
#endif
}

void FiberMain() { Machine::Get().Enter(); }

void Machine::Enter() {
#if defined(__SANITIZE_ADDRESS__)
  const void* stack;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &launcher_.stack_bytes);
  launcher_.stack = static_cast<std::byte*>(const_cast<void*>(stack));
#endif
  in_kernel = true;
  thread_(arguments_);
  in_kernel = false;
  current_->state = State::kReturned;
  Leave();
  std::abort();  // nobody resumes it
}

void Machine::Start(Fiber& fiber) {
  if (fiber.stack == nullptr) {
    fiber.stack = Map(kStackBytes, PROT_READ | PROT_WRITE);
    mprotect(fiber.stack, PageBytes(), PROT_NONE);
    fiber.stack_bytes = kStackBytes;
  }
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(fiber.stack, kStackBytes);
#endif
  fiber.started = false;
  fiber.fake_stack = nullptr;
  fiber.state = State::kReady;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, FiberMain, 0);
  fiber.context.uc_stack.ss_size = 0;  // else AddressSanitizer takes the stack for empty at each switch
}

void Machine::Resume(int thread) {
  current_ = &fibers_[static_cast<std::size_t>(thread)];
  threadIdx = At(static_cast<std::size_t>(thread), shape_->block);
  launcher_.started = true;
  Switch(launcher_, *current_);
  in_kernel = false;
  current_ = nullptr;
}

void Machine::Leave() { Switch(*current_, launcher_); }

void Machine::SetFailure(int thread, const std::string& what) {
  failure_ = fmt::format("kernel {}, block {}, thread {}: {}", shape_->kernel, Name(blockIdx), ThreadName(thread), what);
}

void Machine::Segfault(const void* p) {
  const Region* region = Find(p);
  SetFailure(Index(), region != nullptr ? "out of bounds: " + Place(*region, p)
                                        : fmt::format("touches {}, which no array has", p));
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(nullptr, launcher_.stack, launcher_.stack_bytes);
  setcontext(&launcher_.context);
#else
  _longjmp(launcher_.jump, 1);
#endif
}

void Machine::Barrier(const Site& site) {
  current_->state = State::kAtBarrier;
  current_->site = site;
  Leave();
}

bool Machine::ReleaseBarrier() {
  for (int t = 0; t < threads_; ++t)
    if (fibers_[t].state != State::kAtBarrier || !SameSite(fibers_[t].site, fibers_[0].site)) return false;
  for (int t = 0; t < threads_; ++t) fibers_[t].state = State::kReady;
  ++epoch_;
  return true;
}

// Nobody can go on.
void Machine::ReportStandstill() {
  const auto doing = [&](int t) -> std::string {
    const Fiber& fiber = fibers_[t];
    switch (fiber.state) {
      case State::kReturned: return "has returned";
      case State::kAtBarrier: return "waits at the barrier in " + Name(fiber.site);
      default: return fmt::format("waits in {} of {} with mask {:#010x}", Name(fiber.operation), Name(fiber.site), fiber.mask);
    }
  };
  for (int t = 0; t < threads_; ++t) {
    if (fibers_[t].state != State::kAtWarp) continue;
    const int first = t / kWarp * kWarp;
    for (int lane = 0; lane < kWarp; ++lane) {
      const Fiber& other = fibers_[first + lane];
      if (!(fibers_[t].mask >> lane & 1) ||
          (other.state == State::kAtWarp && other.mask == fibers_[t].mask && other.operation == fibers_[t].operation &&
           SameSite(other.site, fibers_[t].site)))
        continue;
      return SetFailure(t, fmt::format("divergent warp: {}, but thread {} {}", doing(t), ThreadName(first + lane),
                                       doing(first + lane)));
    }
  }
  for (int t = 0; t < threads_; ++t) {
    if (fibers_[t].state != State::kAtBarrier) continue;
    for (int other = 0; other < threads_; ++other)
      if (fibers_[other].state != State::kAtBarrier || !SameSite(fibers_[other].site, fibers_[t].site))
        return SetFailure(t, fmt::format("not all threads reach a barrier: {}, but thread {} {}", doing(t),
                                         ThreadName(other), doing(other)));
  }
}

int Machine::SourceOf(int lane, const Fiber& self) {
  const int begin = lane / self.width * self.width, end = begin + self.width;
  switch (self.operation) {
    case WarpOperation::kShuffle: return begin + (self.argument & (self.width - 1));
    case WarpOperation::kShuffleXor: return (lane ^ self.argument) < end ? lane ^ self.argument : lane;
    case WarpOperation::kShuffleUp: return lane - self.argument < begin ? lane : lane - self.argument;
    default: return lane + self.argument >= end ? lane : lane + self.argument;
  }
}

uint64_t Machine::Exchange(WarpOperation operation, unsigned mask, uint64_t bits, int argument, int width,
                           const Site& site) {
  Fiber& self = *current_;
  const int thread = Index(), lane = thread % kWarp, first = thread - lane;
  const int lanes = std::min(kWarp, threads_ - first);
  const char* const what = Name(operation);
  if (!(mask >> lane & 1))
    Fail([&] {
      return fmt::format("divergent warp: calls {} in {} with mask {:#010x}, which names other lanes", what, Name(site), mask);
    });
  if (lanes < kWarp && mask >> lanes != 0)
    Fail([&] {
      return fmt::format("divergent warp: {} in {} with mask {:#010x}, which names lanes beyond the block", what, Name(site),
                         mask);
    });
  if (width < 1 || width > kWarp || (width & (width - 1)) != 0)
    Fail([&] { return fmt::format("{} in {}: a width of {}", what, Name(site), width); });
  const bool is_step = operation == WarpOperation::kShuffleUp || operation == WarpOperation::kShuffleDown;
  if (argument < 0 || (argument >= kWarp && operation == WarpOperation::kShuffleXor) || (argument > kWarp && is_step))
    Fail([&] { return fmt::format("{} in {}: no lane at {}", what, Name(site), argument); });
  self.state = State::kAtWarp;
  self.site = site;
  self.operation = operation;
  self.mask = mask;
  self.bits = bits;
  self.argument = argument;
  self.width = width;
  Fiber* const warp = &fibers_[static_cast<std::size_t>(first)];
  bool all = true;
  for (int i = 0; i < lanes; ++i)
    if (mask >> i & 1)
      all = all && warp[i].state == State::kAtWarp && warp[i].mask == mask && warp[i].operation == operation &&
            SameSite(warp[i].site, site);
  if (!all) {
    Leave();
    return self.result;
  }
  uint64_t votes = 0;
  for (int i = 0; i < lanes; ++i)
    if (mask >> i & 1) votes |= warp[i].bits << i;
  for (int i = 0; i < lanes; ++i) {
    if (!(mask >> i & 1)) continue;
    warp[i].state = State::kReady;
    if (operation == WarpOperation::kBallot) warp[i].result = votes;
    if (operation == WarpOperation::kBallot || operation == WarpOperation::kSync) continue;
    const int from = SourceOf(i, warp[i]);
    if (!(mask >> from & 1))
      FailAs(first + i, [&] {
        return fmt::format("divergent warp: {} in {} reads from lane {}, which mask {:#010x} doesn't name", what, Name(site),
                           from, mask);
      });
    warp[i].result = warp[from].bits;
  }
  if (operation == WarpOperation::kSync && lanes == __builtin_popcount(mask)) ++warp_epochs_[first / kWarp];
  return self.result;
}

void* Machine::TakeShared(std::size_t index, std::size_t bytes, std::size_t element) {
  if (index > taken_) Fail([] { return std::string("takes arrays of shared memory in another order than other threads"); });
  if (index == taken_) {  // the first thread that does
    ++taken_;
    taken_bytes_ += (bytes + 15) / 16 * 16;
    if (taken_bytes_ > shape_->shared_bytes)
      Fail([&] {
        return fmt::format("takes {} bytes of shared memory; the launch gave {}", taken_bytes_, shape_->shared_bytes);
      });
    if (index == shared_.size()) shared_.emplace_back();
    if (shared_[index] == nullptr || shared_[index]->bytes() != bytes ||
        Find(shared_[index]->data())->element != (element > 8 ? 4 : element)) {
      making_shared_ = true;
      shared_[index] = std::make_unique<GuardedMemory>(fmt::format("shared array {}", index), bytes, element);
      making_shared_ = false;
    }
    std::memset(shared_[index]->data(), garbage_, bytes);
  }
  if (shared_[index]->bytes() != bytes)
    Fail([&] {
      return fmt::format("takes {} bytes as shared array {}, other threads {}", bytes, index, shared_[index]->bytes());
    });
  return shared_[index]->data();
}

void Machine::RunBlock(Schedule schedule, std::size_t block, RandomStream& random) {
  blockIdx = At(block, shape_->grid);
  ++serial_;
  epoch_ = 0;
  warp_epochs_.fill(0);
  taken_ = taken_bytes_ = 0;
  for (int t = 0; t < threads_; ++t) Start(fibers_[t]);

  std::vector<int> order(static_cast<std::size_t>(threads_));
  std::iota(order.begin(), order.end(), 0);
  if (schedule == Schedule::kBackward) std::ranges::reverse(order);
  const auto shuffle = [&] {
    for (auto i = std::ssize(order) - 1; i > 0; --i) std::swap(order[i], order[random.Below(i + 1)]);
  };
  for (;;) {
    // In turn, or each warp as far as it gets.
    if (schedule == Schedule::kRandom || schedule == Schedule::kRandomAgain) shuffle();
    if (schedule == Schedule::kRandomAgain)
      std::ranges::stable_sort(order, {}, [](int t) { return t / kWarp * 0x9E3779B1u >> 7; });
    bool ran = false;
    for (std::size_t begin = 0, end; begin < order.size(); begin = end) {
      end = begin + 1;
      while (schedule != Schedule::kRandom && end < order.size() && order[end] / kWarp == order[begin] / kWarp) ++end;
      for (bool again = true; again;) {
        again = false;
        for (std::size_t i = begin; i < end; ++i) {
          if (fibers_[order[i]].state != State::kReady) continue;
          Resume(order[i]);
          if (failure_) return;
          again = ran = true;
        }
        again = again && end > begin + 1;
      }
    }
    if (ran || ReleaseBarrier()) continue;
    if (std::all_of(fibers_.begin(), fibers_.begin() + threads_, [](const Fiber& f) { return f.state == State::kReturned; }))
      return;
    return ReportStandstill();
  }
}

std::vector<std::vector<std::byte>> Machine::Snapshot() const {
  std::vector<std::vector<std::byte>> copies;
  for (const auto& [map, region] : regions_)
    if (!region->shared) copies.emplace_back(region->first, region->first + region->bytes);
  return copies;
}

void Machine::Restore(const std::vector<std::vector<std::byte>>& snapshot) {
  auto copy = snapshot.begin();
  for (const auto& [map, region] : regions_)
    if (!region->shared) std::ranges::copy(*copy++, region->first);
}

void Machine::Compare(const std::vector<std::vector<std::byte>>& first, Schedule schedule) const {
  auto copy = first.begin();
  for (const auto& [map, region] : regions_) {
    if (region->shared) continue;
    const std::byte* const at = std::mismatch(copy->begin(), copy->end(), region->first).second;
    if (at != region->first + region->bytes)
      throw LaunchFailure(fmt::format("kernel {}: the result depends on the order of threads or blocks ({} or {}): {}",
                                      shape_->kernel, Name(schedules_[0]), Name(schedule), Place(*region, at)));
    ++copy;
  }
}

// Gives the signal to the machine while it runs.
class CatchFaults {
 public:
  CatchFaults() : stack_(static_cast<std::size_t>(64) << 10) {
    stack_t stack = {};
    stack.ss_sp = stack_.data();
    stack.ss_size = stack_.size();
    sigaltstack(&stack, &old_stack_);
    struct sigaction action = {};
    action.sa_sigaction = Handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &old_action_);
  }
  ~CatchFaults() {
    sigaction(SIGSEGV, &old_action_, nullptr);
    sigaltstack(&old_stack_, nullptr);
  }

 private:
  static void Handle(int, siginfo_t* info, void*) {
    if (Machine::Get().in_thread()) Machine::Get().Segfault(info->si_addr);
    signal(SIGSEGV, SIG_DFL);  // not a kernel's: once more, and to the end
  }

  std::vector<char> stack_;
  stack_t old_stack_;
  struct sigaction old_action_;
};

void Machine::Launch(const LaunchShape& shape, void (*thread)(const void*), const void* arguments, std::size_t bytes) {
  const auto refuse = [&](const std::string& what) { throw LaunchFailure(fmt::format("kernel {}: {}", shape.kernel, what)); };
  if (Count(shape.block) == 0 || Count(shape.block) > kMaxThreads || Count(shape.grid) == 0 || shape.grid.y > 65535 ||
      shape.grid.z > 65535)
    refuse(fmt::format("a grid of {} blocks of {} threads", Name(shape.grid), Name(shape.block)));
  if (shape.shared_bytes > kMaxShared) refuse(fmt::format("{} bytes of shared memory", shape.shared_bytes));
  shape_ = &shape;
  thread_ = thread;
  arguments_ = arguments;
  argument_bytes_ = bytes;
  blockDim = shape.block;
  gridDim = shape.grid;
  threads_ = static_cast<int>(Count(shape.block));
  failure_.reset();
  const CatchFaults faults;
  const auto before = Snapshot();
  std::vector<std::vector<std::byte>> first;
  for (const Schedule schedule : schedules_) {
    if (schedule != schedules_[0]) Restore(before);
    constexpr uint8_t kGarbage[] = {0xFF, 0x5A, 0x00, 0xA5};
    garbage_ = kGarbage[static_cast<int>(schedule)];
    first_serial_ = serial_ + 1;
    std::vector<std::size_t> blocks(Count(shape.grid));
    std::iota(blocks.begin(), blocks.end(), 0);
    RandomStream random(1, static_cast<uint64_t>(schedule));
    if (schedule == Schedule::kBackward) std::ranges::reverse(blocks);
    if (schedule >= Schedule::kRandom)
      for (auto i = std::ssize(blocks) - 1; i > 0; --i) std::swap(blocks[i], blocks[random.Below(i + 1)]);
    for (const std::size_t block : blocks) {
      RunBlock(schedule, block, random);
      if (failure_) throw LaunchFailure(*failure_);
    }
    if (schedule == schedules_[0])
      first = Snapshot();
    else
      Compare(first, schedule);
  }
}

}  // namespace

ScopedSchedules::ScopedSchedules(std::vector<Schedule> schedules)
    : before_(Machine::Get().SetSchedules(std::move(schedules))) {}
ScopedSchedules::~ScopedSchedules() { Machine::Get().SetSchedules(before_); }
bool WatchesAccesses() { return watches_accesses; }

void Run(const LaunchShape& shape, void (*thread)(const void*), const void* arguments, std::size_t bytes) {
  Machine::Get().Launch(shape, thread, arguments, bytes);
}

GuardedMemory::GuardedMemory(std::string name, std::size_t bytes, std::size_t element) : bytes_(bytes) {
  map_bytes_ = WholePages(bytes) + 2 * PageBytes();
  map_ = Map(map_bytes_, PROT_NONE);
  if (bytes > 0) mprotect(map_ + PageBytes(), WholePages(bytes), PROT_READ | PROT_WRITE);
  data_ = map_ + map_bytes_ - PageBytes() - bytes;
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(map_ + PageBytes(), data_ - map_ - PageBytes());  // before the first element
#endif
  Machine::Get().Add(name, map_, map_bytes_, data_, bytes, element, Machine::Get().making_shared_);
}

GuardedMemory::~GuardedMemory() {
  Machine::Get().Remove(map_);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(map_, map_bytes_);
#endif
  munmap(map_, map_bytes_);
}

void* TakeShared(std::size_t index, std::size_t bytes, std::size_t element) {
  const OutOfKernel out;
  return Machine::Get().TakeShared(index, bytes, element);
}

uint64_t Exchange(WarpOperation operation, unsigned mask, uint64_t bits, int argument, int width, const Site& site) {
  const OutOfKernel out;
  return Machine::Get().Exchange(operation, mask, bits, argument, width, site);
}

namespace {

void Touch(const void* p, std::size_t bytes, bool write, bool atomic = false) {
  if (!in_kernel) return;
  const OutOfKernel out;
  Machine::Get().Watch(p, bytes, write, atomic);
}

template <typename T, typename F>
T Atomic(T* p, F change) {
  Touch(p, sizeof(T), true, true);
  const T before = *p;
  *p = change(before);
  return before;
}

}  // namespace
}  // namespace pivotal::kernels::cuda_on_cpu

using pivotal::kernels::cuda_on_cpu::Atomic;
using pivotal::kernels::cuda_on_cpu::Machine;
using pivotal::kernels::cuda_on_cpu::OutOfKernel;
using pivotal::kernels::cuda_on_cpu::Touch;
using pivotal::kernels::cuda_on_cpu::watches_accesses;

void __syncthreads(const std::source_location& site) {
  const OutOfKernel out;
  Machine::Get().Barrier(site);
}

int atomicAdd(int* p, int x) { return Atomic(p, [&](int a) { return a + x; }); }
unsigned atomicAdd(unsigned* p, unsigned x) { return Atomic(p, [&](unsigned a) { return a + x; }); }
unsigned long long atomicAdd(unsigned long long* p, unsigned long long x) {
  return Atomic(p, [&](unsigned long long a) { return a + x; });
}
float atomicAdd(float* p, float x) { return Atomic(p, [&](float a) { return a + x; }); }
int atomicMax(int* p, int x) { return Atomic(p, [&](int a) { return std::max(a, x); }); }
unsigned atomicMax(unsigned* p, unsigned x) { return Atomic(p, [&](unsigned a) { return std::max(a, x); }); }

float __bfloat162float(__nv_bfloat16 x) { return __uint_as_float(unsigned{x.bits} << 16); }
__nv_bfloat16 __float2bfloat16(float x) {
  const unsigned bits = __float_as_uint(x);
  if (x != x) return {0x7FFF};
  return {static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}
float __half2float(__half x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  const float size = exponent == 31 ? (fraction == 0 ? HUGE_VALF : NAN)
                     : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                     : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return x.bits & 0x8000 ? -size : size;
}
__half __float2half(float x) { return {pivotal::kernels::ToFloat16(x).bits}; }

#if !defined(__SANITIZE_THREAD__)
// What -fsanitize=thread calls; ThreadSanitizer itself isn't linked.
extern "C" {
void __tsan_init() { watches_accesses = true; }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
#define PIVOTAL_WATCH(size)                                            \
  void __tsan_read##size(void* p) { Touch(p, size, false); }           \
  void __tsan_write##size(void* p) { Touch(p, size, true); }           \
  void __tsan_unaligned_read##size(void* p) { Touch(p, size, false); } \
  void __tsan_unaligned_write##size(void* p) { Touch(p, size, true); }
PIVOTAL_WATCH(1)
PIVOTAL_WATCH(2)
PIVOTAL_WATCH(4)
PIVOTAL_WATCH(8)
PIVOTAL_WATCH(16)
void __tsan_read_range(void* p, std::size_t bytes) { Touch(p, bytes, false); }
void __tsan_write_range(void* p, std::size_t bytes) { Touch(p, bytes, true); }
// Of a test's own counters of references.
int __tsan_atomic32_load(const volatile int* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
void __tsan_atomic32_store(volatile int* p, int x, int) { __atomic_store_n(p, x, __ATOMIC_SEQ_CST); }
int __tsan_atomic32_fetch_add(volatile int* p, int x, int) { return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST); }
int __tsan_atomic32_fetch_sub(volatile int* p, int x, int) { return __atomic_fetch_sub(p, x, __ATOMIC_SEQ_CST); }
}
#endif
