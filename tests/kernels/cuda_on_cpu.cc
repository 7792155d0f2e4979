// Apache-2.0.
#include "tests/kernels/cuda_on_cpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/philox.h"
#include "tests/kernels/cuda_fiber.h"
#include "tests/kernels/cuda_memory.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

extern "C" {
extern char __executable_start[], _end[];  // of the program, by the linker
}

namespace pivotal::kernels::cuda_on_cpu {
namespace {

constexpr int kMaxThreads = 1024;
constexpr std::size_t kMaxShared = 163 << 10;  // of a block on an A100

enum class State { kReady, kAtBarrier, kAtWarp, kReturned };

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};

struct Fiber : Flow {
  std::vector<Copy> copies;          // that have not come
  std::vector<std::size_t> batches;  // how many copies had started at each commit
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

// Runs launches: switches between the fibers of a block and checks what they do.
class Machine {
 public:
  static Machine& Get() {
    static Machine machine;
    return machine;
  }

  // Returns the schedules before.
  std::vector<Schedule> SetSchedules(std::vector<Schedule> schedules) {
    return std::exchange(schedules_, std::move(schedules));
  }
  void Launch(const LaunchShape& shape, void (*thread)(const void*), const void* arguments,
              std::size_t bytes);

  bool in_thread() const { return current_ != nullptr; }
  // The following are called by the running thread of a kernel.
  void Watch(const void* p, std::size_t bytes, bool write, bool atomic);
  void Barrier(const Site& site);
  void Fence() { handovers_.Fence(Now(/*atomic=*/false)); }
  uint64_t Exchange(WarpOperation operation, unsigned mask, uint64_t bits, int argument, int width,
                    const Site& site);
  void* TakeShared(std::size_t index, std::size_t bytes, std::size_t element);
  void Copy(const struct Copy& copy);
  void CommitCopies() { current_->batches.push_back(current_->copies.size()); }
  void AwaitCopies(std::size_t batches);
  void GatherMatrix(const float (&half_row)[8], Matrix& whole, const Site& site);
  void CheckMatrix(const void* p, std::size_t stride, const Site& site);
  int Lane() const { return Index() % kWarp; }
  void Segfault(const void* p);
  [[noreturn]] void Enter();

 private:
  Machine() : memory_(Memory::Get()) {}

  void RunBlock(Schedule schedule, std::size_t block, RandomStream& random);
  void Resume(int thread);
  // Switches to the launcher. Returns when the launcher resumes the thread.
  void Leave() { Flow::Switch(*current_, launcher_); }
  // Ends the launch with the message that `say()` returns. The stack of the thread is not unwound,
  // so it must own nothing.
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
  // Returns the lane that a shuffle reads from.
  static int SourceOf(int lane, const Fiber& self);

  int Index() const { return static_cast<int>(current_ - fibers_.data()); }
  Event Now(bool atomic) const {
    const int thread = Index();
    return {serial_, epoch_, warp_epochs_[thread / kWarp], static_cast<uint16_t>(thread), atomic};
  }
  std::string ThreadName(int thread) const {
    return Name(At(static_cast<std::size_t>(thread), shape_->block));
  }

  std::vector<Schedule> schedules_ = {Schedule::kForward, Schedule::kBackward, Schedule::kRandom,
                                      Schedule::kRandomAgain};
  Memory& memory_;
  Handovers handovers_;
  std::vector<std::unique_ptr<GuardedMemory>>
      shared_;  // arrays in the order in which threads take them
  std::size_t taken_ = 0, taken_bytes_ = 0;
  uint8_t garbage_ = 0;

  const LaunchShape* shape_ = nullptr;
  void (*thread_)(const void*) = nullptr;
  const void* arguments_ = nullptr;
  std::size_t argument_bytes_ = 0;
  Flow launcher_;
  std::vector<Fiber> fibers_ = std::vector<Fiber>(kMaxThreads);
  int threads_ = 0;  // number of threads of a block
  Fiber* current_ = nullptr;
  uint32_t serial_ = 0, first_serial_ = 1, epoch_ = 0;
  std::array<uint32_t, kMaxThreads / kWarp> warp_epochs_ = {};
  std::array<Matrix, kMaxThreads / kWarp> matrices_;
  std::optional<std::string> failure_;
};

void Machine::Watch(const void* p, std::size_t bytes, bool write, bool atomic) {
  const auto at = static_cast<const std::byte*>(p);
  if (current_->HasOnStack(p)) return;
  Region* const region = memory_.Find(p);
  const char* const does = write ? "writes" : "reads";
  if (region == nullptr) {
    const bool constant = p >= __executable_start && p < _end;
    const bool argument =
        at >= arguments_ && at < static_cast<const std::byte*>(arguments_) + argument_bytes_;
    if (!write && (constant || argument)) return;
    Fail([&] { return fmt::format("{} {} bytes at {}, which no array has", does, bytes, p); });
  }
  if (at < region->first || at + bytes > region->first + region->bytes)
    Fail([&] { return fmt::format("{} out of bounds: {}", does, ElementName(*region, p)); });
  const Event now = Now(atomic);
  const auto race = memory_.Note(*region, p, bytes, write, now, first_serial_, handovers_);
  if (atomic) handovers_.Atomic(p, now);
  if (!race) return;
  Fail([&] {
    const bool own = race->before.serial == serial_;
    const std::string who = own ? "thread " + ThreadName(race->before.thread) : "another block";
    return fmt::format("{} what {} {}, with no barrier between: {}", does, who, race->did,
                       ElementName(*region, p));
  });
}

void FiberMain() { Machine::Get().Enter(); }

void Machine::Enter() {
  Flow::Entered(launcher_);
  in_kernel = true;
  thread_(arguments_);
  in_kernel = false;
  if (!current_->copies.empty())
    Fail([] { return std::string("returns before copies that it started have come"); });
  current_->state = State::kReturned;
  Leave();
  std::abort();  // nobody resumes it
}

void Machine::Resume(int thread) {
  current_ = &fibers_[static_cast<std::size_t>(thread)];
  threadIdx = At(static_cast<std::size_t>(thread), shape_->block);
  Flow::Switch(launcher_, *current_);
  in_kernel = false;
  current_ = nullptr;
}

void Machine::SetFailure(int thread, const std::string& what) {
  failure_ = fmt::format("kernel {}, block {}, thread {}: {}", shape_->kernel, Name(blockIdx),
                         ThreadName(thread), what);
}

void Machine::Segfault(const void* p) {
  const Region* region = memory_.Find(p);
  SetFailure(Index(), region != nullptr ? "out of bounds: " + ElementName(*region, p)
                                        : fmt::format("touches {}, which no array has", p));
  Flow::Jump(launcher_);
}

void Machine::Barrier(const Site& site) {
  current_->state = State::kAtBarrier;
  current_->site = site;
  Leave();
}

bool Machine::ReleaseBarrier() {
  for (int t = 0; t < threads_; ++t)
    if (fibers_[t].state != State::kAtBarrier || !SameSite(fibers_[t].site, fibers_[0].site))
      return false;
  for (int t = 0; t < threads_; ++t) fibers_[t].state = State::kReady;
  ++epoch_;
  return true;
}

// Reports why no thread can go on.
void Machine::ReportStandstill() {
  const auto doing = [&](int t) -> std::string {
    const Fiber& fiber = fibers_[t];
    switch (fiber.state) {
      case State::kReturned: return "has returned";
      case State::kAtBarrier: return "waits at the barrier in " + Name(fiber.site);
      default:
        return fmt::format("waits in {} of {} with mask {:#010x}", Name(fiber.operation),
                           Name(fiber.site), fiber.mask);
    }
  };
  for (int t = 0; t < threads_; ++t) {
    if (fibers_[t].state != State::kAtWarp) continue;
    const int first = t / kWarp * kWarp;
    for (int lane = 0; lane < kWarp; ++lane) {
      const Fiber& other = fibers_[first + lane];
      if (!(fibers_[t].mask >> lane & 1) ||
          (other.state == State::kAtWarp && other.mask == fibers_[t].mask &&
           other.operation == fibers_[t].operation && SameSite(other.site, fibers_[t].site)))
        continue;
      return SetFailure(t, fmt::format("divergent warp: {}, but thread {} {}", doing(t),
                                       ThreadName(first + lane), doing(first + lane)));
    }
  }
  for (int t = 0; t < threads_; ++t) {
    if (fibers_[t].state != State::kAtBarrier) continue;
    for (int other = 0; other < threads_; ++other)
      if (fibers_[other].state != State::kAtBarrier ||
          !SameSite(fibers_[other].site, fibers_[t].site))
        return SetFailure(t, fmt::format("not all threads reach a barrier: {}, but thread {} {}",
                                         doing(t), ThreadName(other), doing(other)));
  }
}

int Machine::SourceOf(int lane, const Fiber& self) {
  const int begin = lane / self.width * self.width, end = begin + self.width;
  switch (self.operation) {
    case WarpOperation::kShuffle: return begin + (self.argument & (self.width - 1));
    case WarpOperation::kShuffleXor:
      return (lane ^ self.argument) < end ? lane ^ self.argument : lane;
    case WarpOperation::kShuffleUp:
      return lane - self.argument < begin ? lane : lane - self.argument;
    default: return lane + self.argument >= end ? lane : lane + self.argument;
  }
}

uint64_t Machine::Exchange(WarpOperation operation, unsigned mask, uint64_t bits, int argument,
                           int width, const Site& site) {
  Fiber& self = *current_;
  const int thread = Index(), lane = thread % kWarp, first = thread - lane;
  const int lanes = std::min(kWarp, threads_ - first);
  const char* const what = Name(operation);
  if (!(mask >> lane & 1))
    Fail([&] {
      return fmt::format(
          "divergent warp: calls {} in {} with mask {:#010x}, which names other lanes", what,
          Name(site), mask);
    });
  if (lanes < kWarp && mask >> lanes != 0)
    Fail([&] {
      return fmt::format(
          "divergent warp: {} in {} with mask {:#010x}, which names lanes beyond the block", what,
          Name(site), mask);
    });
  if (width < 1 || width > kWarp || (width & (width - 1)) != 0)
    Fail([&] { return fmt::format("{} in {}: a width of {}", what, Name(site), width); });
  const bool is_step =
      operation == WarpOperation::kShuffleUp || operation == WarpOperation::kShuffleDown;
  if (argument < 0 || (argument >= kWarp && operation == WarpOperation::kShuffleXor) ||
      (argument > kWarp && is_step))
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
      all = all && warp[i].state == State::kAtWarp && warp[i].mask == mask &&
            warp[i].operation == operation && SameSite(warp[i].site, site);
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
        return fmt::format(
            "divergent warp: {} in {} reads from lane {}, which mask {:#010x} doesn't name", what,
            Name(site), from, mask);
      });
    warp[i].result = warp[from].bits;
  }
  if (operation == WarpOperation::kSync && lanes == __builtin_popcount(mask)) {
    ++warp_epochs_[first / kWarp];
    handovers_.SyncWarp(first / kWarp);
  }
  return self.result;
}

void Machine::Copy(const struct Copy& copy) {
  const auto address =
      reinterpret_cast<std::uintptr_t>(copy.to) | reinterpret_cast<std::uintptr_t>(copy.from);
  if ((copy.bytes != 4 && copy.bytes != 8 && copy.bytes != 16) || address % copy.bytes != 0)
    Fail([&] {
      return fmt::format("copies {} bytes from {} to {}; 4, 8 or 16 aligned bytes can be",
                         copy.bytes, copy.from, copy.to);
    });
  current_->copies.push_back(copy);
}

void Machine::AwaitCopies(std::size_t batches) {
  Fiber& self = *current_;
  if (self.batches.size() <= batches) return;
  const std::size_t done = self.batches[self.batches.size() - 1 - batches];
  for (std::size_t i = 0; i < done; ++i) {
    const auto& [to, from, bytes] = self.copies[i];
    if (WatchesAccesses()) {
      Watch(from, bytes, false, false);
      Watch(to, bytes, true, false);
    }
    std::memcpy(to, from, bytes);
  }
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<std::ptrdiff_t>(done));
  self.batches.erase(self.batches.begin(),
                     self.batches.end() - static_cast<std::ptrdiff_t>(batches));
  for (std::size_t& batch : self.batches) batch -= done;
}

void Machine::GatherMatrix(const float (&half_row)[8], Matrix& whole, const Site& site) {
  Matrix& shared = matrices_[static_cast<std::size_t>(Index() / kWarp)];
  std::memcpy(&shared[Lane() / 2][Lane() % 2 * 8], half_row, sizeof(half_row));
  Exchange(WarpOperation::kSync, ~0u, 0, 0, kWarp, site);
  std::memcpy(whole, shared, sizeof(Matrix));
  Exchange(WarpOperation::kSync, ~0u, 0, 0, kWarp, site);
}

void Machine::CheckMatrix(const void* p, std::size_t stride, const Site& site) {
  if (reinterpret_cast<std::uintptr_t>(p) % 32 != 0 || stride % 16 != 0)
    Fail([&] {
      return fmt::format(
          "a matrix in {} begins at {}, its rows are {} bytes apart; they must be multiples of 32 "
          "and of 16",
          Name(site), p, stride);
    });
}

void* Machine::TakeShared(std::size_t index, std::size_t bytes, std::size_t element) {
  if (index > taken_)
    Fail([] {
      return std::string("takes arrays of shared memory in another order than other threads");
    });
  if (index == taken_) {  // this thread is the first to take it
    ++taken_;
    taken_bytes_ += (bytes + 31) / 32 * 32;
    if (taken_bytes_ > shape_->shared_bytes)
      Fail([&] {
        return fmt::format("takes {} bytes of shared memory; the launch gave {}", taken_bytes_,
                           shape_->shared_bytes);
      });
    if (index == shared_.size()) shared_.emplace_back();
    if (shared_[index] == nullptr || shared_[index]->bytes() != bytes ||
        shared_[index]->element() != element)
      shared_[index] = std::make_unique<GuardedMemory>(fmt::format("shared array {}", index), bytes,
                                                       element, true);
    std::memset(shared_[index]->data(), garbage_, bytes);
  }
  if (shared_[index]->bytes() != bytes)
    Fail([&] {
      return fmt::format("takes {} bytes as shared array {}, other threads {}", bytes, index,
                         shared_[index]->bytes());
    });
  return shared_[index]->data();
}

void Machine::RunBlock(Schedule schedule, std::size_t block, RandomStream& random) {
  blockIdx = At(block, shape_->grid);
  ++serial_;
  epoch_ = 0;
  warp_epochs_.fill(0);
  taken_ = taken_bytes_ = 0;
  handovers_.BeginBlock();
  for (int t = 0; t < threads_; ++t) {
    fibers_[t].state = State::kReady;
    fibers_[t].copies.clear();
    fibers_[t].batches.clear();
    fibers_[t].Begin(FiberMain);
  }

  std::vector<int> order(static_cast<std::size_t>(threads_));
  std::iota(order.begin(), order.end(), 0);
  if (schedule == Schedule::kBackward) std::ranges::reverse(order);
  const auto shuffle = [&] {
    for (auto i = std::ssize(order) - 1; i > 0; --i)
      std::swap(order[i], order[random.Below(i + 1)]);
  };
  for (;;) {
    // Runs single threads in turn (kRandom), or each warp as far as it gets.
    if (schedule == Schedule::kRandom || schedule == Schedule::kRandomAgain) shuffle();
    if (schedule == Schedule::kRandomAgain)
      std::ranges::stable_sort(order, {}, [](int t) { return t / kWarp * 0x9E3779B1u >> 7; });
    bool ran = false;
    for (std::size_t begin = 0, end; begin < order.size(); begin = end) {
      end = begin + 1;
      while (schedule != Schedule::kRandom && end < order.size() &&
             order[end] / kWarp == order[begin] / kWarp)
        ++end;
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
    if (std::all_of(fibers_.begin(), fibers_.begin() + threads_,
                    [](const Fiber& f) { return f.state == State::kReturned; }))
      return;
    return ReportStandstill();
  }
}

void Machine::Launch(const LaunchShape& shape, void (*thread)(const void*), const void* arguments,
                     std::size_t bytes) {
  const auto refuse = [&](const std::string& what) {
    throw LaunchFailure(fmt::format("kernel {}: {}", shape.kernel, what));
  };
  if (Count(shape.block) == 0 || Count(shape.block) > kMaxThreads || Count(shape.grid) == 0 ||
      shape.grid.y > 65535 || shape.grid.z > 65535)
    refuse(fmt::format("a grid of {} blocks of {} threads", Name(shape.grid), Name(shape.block)));
  if (shape.shared_bytes > kMaxShared)
    refuse(fmt::format("{} bytes of shared memory", shape.shared_bytes));
  shape_ = &shape;
  thread_ = thread;
  arguments_ = arguments;
  argument_bytes_ = bytes;
  blockDim = shape.block;
  gridDim = shape.grid;
  threads_ = static_cast<int>(Count(shape.block));
  failure_.reset();
  const CatchFaults faults([](const void* p) {
    if (Get().in_thread()) Get().Segfault(p);
  });
  const Snapshot before = memory_.Copy();
  Snapshot first;
  for (const Schedule schedule : schedules_) {
    if (schedule != schedules_[0]) memory_.Restore(before);
    constexpr uint8_t kGarbage[] = {0xFF, 0x5A, 0x00, 0xA5};
    garbage_ = kGarbage[static_cast<int>(schedule)];
    first_serial_ = serial_ + 1;
    handovers_.BeginLaunch();
    std::vector<std::size_t> blocks(Count(shape.grid));
    std::iota(blocks.begin(), blocks.end(), 0);
    RandomStream random(1, static_cast<uint64_t>(schedule));
    if (schedule == Schedule::kBackward) std::ranges::reverse(blocks);
    if (schedule >= Schedule::kRandom)
      for (auto i = std::ssize(blocks) - 1; i > 0; --i)
        std::swap(blocks[i], blocks[random.Below(i + 1)]);
    for (const std::size_t block : blocks) {
      RunBlock(schedule, block, random);
      if (failure_) throw LaunchFailure(*failure_);
    }
    if (schedule == schedules_[0])
      first = memory_.Copy();
    else if (const auto element = memory_.Difference(first))
      refuse(fmt::format("the result depends on the order of threads or blocks ({} or {}): {}",
                         Name(schedules_[0]), Name(schedule), *element));
  }
}

}  // namespace

ScopedSchedules::ScopedSchedules(std::vector<Schedule> schedules)
    : before_(Machine::Get().SetSchedules(std::move(schedules))) {}
ScopedSchedules::~ScopedSchedules() { Machine::Get().SetSchedules(before_); }

void Run(const LaunchShape& shape, void (*thread)(const void*), const void* arguments,
         std::size_t bytes) {
  Machine::Get().Launch(shape, thread, arguments, bytes);
}

void* TakeShared(std::size_t index, std::size_t bytes, std::size_t element) {
  const OutOfKernel out;
  return Machine::Get().TakeShared(index, bytes, element);
}

uint64_t Exchange(WarpOperation operation, unsigned mask, uint64_t bits, int argument, int width,
                  const Site& site) {
  const OutOfKernel out;
  return Machine::Get().Exchange(operation, mask, bits, argument, width, site);
}

int Lane() { return Machine::Get().Lane(); }

void CheckMatrix(const void* p, std::size_t stride, const Site& site) {
  const OutOfKernel out;
  Machine::Get().CheckMatrix(p, stride, site);
}

void GatherMatrix(const float (&half_row)[8], Matrix& whole, const Site& site) {
  const OutOfKernel out;
  Machine::Get().GatherMatrix(half_row, whole, site);
}

void MultiplyMatrices(Matrix& out, const Matrix& a, const Matrix& b, const Matrix& c,
                      const Site& site) {
  const OutOfKernel out_of_kernel;
  Machine::Get().Exchange(WarpOperation::kSync, ~0u, 0, 0, kWarp, site);
  Matrix sum;
  std::memcpy(sum, c, sizeof(Matrix));
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < 16; ++k)
      for (int j = 0; j < 16; ++j) sum[i][j] += a[i][k] * b[k][j];
  std::memcpy(out, sum, sizeof(Matrix));
}

void Touch(const void* p, std::size_t bytes, bool write, bool atomic) {
  if (!in_kernel) return;
  const OutOfKernel out;
  Machine::Get().Watch(p, bytes, write, atomic);
}

}  // namespace pivotal::kernels::cuda_on_cpu

void __syncthreads(const std::source_location& site) {
  const pivotal::kernels::cuda_on_cpu::OutOfKernel out;
  pivotal::kernels::cuda_on_cpu::Machine::Get().Barrier(site);
}

void __threadfence() {
  const pivotal::kernels::cuda_on_cpu::OutOfKernel out;
  pivotal::kernels::cuda_on_cpu::Machine::Get().Fence();
}

void __pipeline_memcpy_async(void* to, const void* from, std::size_t bytes) {
  const pivotal::kernels::cuda_on_cpu::OutOfKernel out;
  pivotal::kernels::cuda_on_cpu::Machine::Get().Copy({to, from, bytes});
}
void __pipeline_commit() {
  const pivotal::kernels::cuda_on_cpu::OutOfKernel out;
  pivotal::kernels::cuda_on_cpu::Machine::Get().CommitCopies();
}
void __pipeline_wait_prior(std::size_t batches) {
  const pivotal::kernels::cuda_on_cpu::OutOfKernel out;
  pivotal::kernels::cuda_on_cpu::Machine::Get().AwaitCopies(batches);
}
