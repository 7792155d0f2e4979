// Apache-2.0.
#include "kernels/cuda/sample_rows.h"

#include "kernels/cuda/device.h"
#include "pivotal/error.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kStrides = 16;
constexpr int kChunk = kStrides * kWarp;  // tokens of a chunk, whose sums are kept
constexpr int kBins = 256;                // values of an eight-bit digit of a key
// A weight as an integer, in units of 2^-44: the sum of integers does not depend on their order.
using Mass = unsigned long long;
constexpr double kUnit = 17592186044416;  // 2^44

// Maps a logit to an integer with the same order; equal logits have equal keys.
__device__ uint32_t KeyOf(float logit) {
  const uint32_t bits = __float_as_uint(logit + 0.0f);  // -0 is 0
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ float LogitOf(uint32_t key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}

// Results of one warp that all threads of the block read, in shared memory.
struct State {
  float max;          // largest logit of the row
  int32_t bin;        // of FindBin: the digit found
  int32_t last;       // of FindTie: the id found
  Mass wanted, held;  // of FindBin: mass wanted of the bin, and the mass that it holds
};

// The tokens that top-k and top-p keep: those with a key above `key`, and those with just this key
// and an id up to `last`.
struct Cut {
  uint32_t key = 0;
  int32_t last = INT32_MAX;
  __device__ bool Keeps(uint32_t of, int32_t id) const {
    return of > key || (of == key && id <= last);
  }
};

// One row of logits. All threads of the block must call its methods, unless a method says
// otherwise.
class Row {
 public:
  __device__ Row(const SampleRowsTask& task, int64_t index, SharedArena& arena)
      : logits_(task.logits + index * task.stride),
        vocab_(static_cast<int>(task.vocab)),
        chunks_(static_cast<int>(Parts(task.vocab, kChunk))),
        warp_(threadIdx.x / kWarp),
        lane_(threadIdx.x % kWarp),
        inverse_(task.params.temperature > 0 ? static_cast<float>(1 / task.params.temperature)
                                             : 1.0f),
        min_p_(task.params.temperature > 0 ? task.params.min_p : 0.0) {
    if (task.excluded != nullptr) {
      excluded_ = task.excluded + task.excluded_ends[index];
      num_excluded_ = task.excluded_ends[index + 1] - task.excluded_ends[index];
    }
    chunk_max_ = arena.Take<float>(chunks_);
    chunk_sum_ = arena.Take<float>(chunks_);
    chunk_left_ = arena.Take<float>(chunks_);
    bins_ = arena.Take<Mass>(kBins);
    state_ = arena.Take<State>(1);
  }

  __device__ bool Excluded(int id) const {
    for (int i = 0; i < num_excluded_; ++i)
      if (excluded_[i] == id) return true;
    return false;
  }
  __device__ bool Keeps(int id) const {
    const float logit = logits_[id];
    return cut_.Keeps(KeyOf(logit), id) && !(expf((logit - state_->max) * inverse_) < min_p_);
  }
  // Returns the log-probability of a token. To be called by the first warp, after Draw().
  __device__ double LogProb(int id) const {
    return static_cast<double>((logits_[id] - state_->max) * inverse_) - log(sum_);
  }

  // Computes the largest logit and the sums of each chunk in one pass. Returns false if the row has
  // NaN, +inf or only -inf.
  __device__ bool TakeMax() {
    for (int chunk = warp_; chunk < chunks_; chunk += kWarps) {
      float logits[kStrides], max = -kInfinity;
      for (int j = 0; j < kStrides; ++j) {
        const int id = chunk * kChunk + j * kWarp + lane_;
        logits[j] = id < vocab_ ? logits_[id] : -kInfinity;
        max = fmaxf(max, logits[j] == logits[j] ? logits[j] : kInfinity);
      }
      max = WarpMax(max);
      float sum = 0, left = 0;
      if (max > -kInfinity && max < kInfinity)
        for (int j = 0; j < kStrides; ++j) {
          const float weight = expf((logits[j] - max) * inverse_);
          const int id = chunk * kChunk + j * kWarp + lane_;
          if (id < vocab_) sum += weight;
          if (id < vocab_ && !Excluded(id)) left += weight;
        }
      StoreChunk(chunk, max, WarpSum(sum), WarpSum(left));
    }
    __syncthreads();  // the results of all chunks are there
    if (warp_ == 0) {
      float max = -kInfinity;
      for (int chunk = lane_; chunk < chunks_; chunk += kWarp) max = fmaxf(max, chunk_max_[chunk]);
      max = WarpMax(max);
      if (lane_ == 0) state_->max = max;
    }
    __syncthreads();  // the maximum of the row is there
    return state_->max > -kInfinity && state_->max < kInfinity;
  }

  // Keeps only the most probable token, the one with the lowest id on ties.
  __device__ void KeepFirst() {
    cut_.key = KeyOf(state_->max);
    cut_.last = FindTie(cut_.key, 1);
  }

  __device__ void KeepTopK(int k) {
    if (k <= 0 || k >= vocab_) return;
    cut_.key = Descend(static_cast<Mass>(k), 0, [](uint32_t, int) { return Mass{1}; });
    const Mass ties = state_->wanted, held = state_->held;
    if (ties < held) cut_.last = FindTie(cut_.key, static_cast<int>(ties));
  }

  // Keeps, of the tokens that top-k kept, the fewest most probable that hold `top_p` of their mass.
  __device__ void KeepTopP(double top_p) {
    if (top_p >= 1) return;
    const Cut by_k = cut_;
    const uint32_t key =
        Descend(0, top_p, [&](uint32_t of, int id) { return by_k.Keeps(of, id) ? MassOf(of) : 0; });
    const Mass wanted = state_->wanted, held = state_->held;
    if (wanted < held) {  // the bin holds a single key, whose tokens have equal weights
      const Mass each = MassOf(key), ties = (wanted + each - 1) / each;
      const Mass all = held / each;
      cut_.last = ties < all        ? FindTie(key, static_cast<int>(ties))
                  : key == by_k.key ? by_k.last
                                    : INT32_MAX;
      cut_.key = key;
    } else if (key > by_k.key) {
      cut_ = {key, INT32_MAX};
    }
  }

  // Computes the sums of chunks again, over the tokens that the filters kept.
  __device__ void SumChunks() {
    for (int chunk = warp_; chunk < chunks_; chunk += kWarps) {
      const float max = chunk_max_[chunk];
      float sum = 0, left = 0;
      if (max > -kInfinity)
        for (int j = 0; j < kStrides; ++j) {
          const int id = chunk * kChunk + j * kWarp + lane_;
          if (id >= vocab_ || !Keeps(id)) continue;
          const float weight = expf((logits_[id] - max) * inverse_);
          sum += weight;
          if (!Excluded(id)) left += weight;
        }
      sum = WarpSum(sum);
      left = WarpSum(left);
      if (lane_ == 0) {
        chunk_sum_[chunk] = sum;
        chunk_left_[chunk] = left;
      }
    }
    __syncthreads();  // the sums are there
  }

  // Returns the token at `uniform` of the tokens that are not excluded, or -1 if there are none.
  // Sets sum_. To be called by the first warp.
  __device__ int Draw(double uniform) {
    double sum = 0, left = 0;
    for (int chunk = lane_; chunk < chunks_; chunk += kWarp) {
      sum += chunk_sum_[chunk] * ChunkFactor(chunk);
      left += chunk_left_[chunk] * ChunkFactor(chunk);
    }
    sum = WarpSum(sum);
    left = WarpSum(left);
    sum_ = sum;
    if (left == 0) return -1;
    double target = uniform * left;
    const int chunk =
        FirstPast(chunks_, target, [&](int c) { return chunk_left_[c] * ChunkFactor(c); });
    target /= ChunkFactor(chunk);
    const int first = chunk * kChunk, size = static_cast<int>(Min(kChunk, vocab_ - first));
    const float max = chunk_max_[chunk];
    return first + FirstPast(size, target, [&](int i) {
             if (!Keeps(first + i) || Excluded(first + i)) return 0.0;
             return static_cast<double>(expf((logits_[first + i] - max) * inverse_));
           });
  }

 private:
  __device__ void StoreChunk(int chunk, float max, float sum, float left) {
    if (lane_ != 0) return;
    chunk_max_[chunk] = max;
    chunk_sum_[chunk] = sum;
    chunk_left_[chunk] = left;
  }

  // Returns the factor that turns weights relative to the maximum of a chunk into weights relative
  // to the maximum of the row.
  __device__ double ChunkFactor(int chunk) const {
    return exp(static_cast<double>((chunk_max_[chunk] - state_->max) * inverse_));
  }

  __device__ Mass MassOf(uint32_t key) const {
    return static_cast<Mass>(kUnit * expf((LogitOf(key) - state_->max) * inverse_));
  }

  // Returns the first of `count` items at which the running sum of weights exceeds `target`, or the
  // last item with a weight if rounding leaves none. Subtracts the sum before that item from
  // `target`. To be called by one warp.
  template <typename Weigh>
  __device__ int FirstPast(int count, double& target, Weigh weigh) const {
    double before = 0, last_before = 0;
    int last = 0;
    for (int start = 0; start < count; start += kWarp) {
      const double weight = start + lane_ < count ? weigh(start + lane_) : 0.0;
      const double upto = WarpScan(weight, lane_);
      const unsigned past = __ballot_sync(kAllLanes, weight > 0 && before + upto > target);
      const unsigned any = __ballot_sync(kAllLanes, weight > 0);
      if (any != 0) {
        const int lane = past != 0 ? __ffs(static_cast<int>(past)) - 1
                                   : kWarp - 1 - __clz(static_cast<int>(any));
        last = start + lane;
        last_before = before + __shfl_sync(kAllLanes, upto - weight, lane);
      }
      if (past != 0) break;
      before += __shfl_sync(kAllLanes, upto, kWarp - 1);
    }
    target -= last_before;
    return last;
  }

  // Finds the largest key such that tokens at or above it have a mass of at least `want`, or of
  // `fraction` of the whole mass if that is above 0 (radix select). Goes through eight-bit digits
  // from the top and stops when all tokens of a bin are wanted. state_->wanted is then the mass
  // wanted of the last bin, and state_->held its mass: the former is smaller only if the bin is a
  // single key.
  template <typename Weigh>
  __device__ uint32_t Descend(Mass want, double fraction, Weigh weigh) {
    uint32_t key = 0, known = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
      for (int bin = threadIdx.x; bin < kBins; bin += kThreads) bins_[bin] = 0;
      __syncthreads();  // bins are empty, and nobody reads the last state
      for (int id = threadIdx.x; id < vocab_; id += kThreads) {
        const uint32_t of = KeyOf(logits_[id]);
        if ((of & known) != key) continue;
        const Mass mass = weigh(of, id);
        if (mass > 0) atomicAdd(&bins_[(of >> shift) % kBins], mass);
      }
      __syncthreads();  // bins are full
      if (warp_ == 0) FindBin(known == 0 ? fraction : 0, want);
      __syncthreads();  // the bin is known
      key |= static_cast<uint32_t>(state_->bin) << shift;
      known |= 0xFFu << shift;
      want = state_->wanted;
      if (want == state_->held) break;
    }
    return key;
  }

  // Finds the bin, from the highest digit down, in which the running mass reaches `want`, or
  // `fraction` of the whole mass if that is above 0. Each lane sums eight bins; the first lane has
  // the highest. To be called by one warp.
  __device__ void FindBin(double fraction, Mass want) {
    constexpr int kOfLane = kBins / kWarp;
    const int top = kBins - 1 - lane_ * kOfLane;
    Mass own = 0;
    for (int i = 0; i < kOfLane; ++i) own += bins_[top - i];
    const Mass upto = WarpScan(own, lane_);
    const Mass all = __shfl_sync(kAllLanes, upto, kWarp - 1);
    if (fraction > 0) {
      want = static_cast<Mass>(ceil(fraction * static_cast<double>(all)));
      want = want > all ? all : want;
    }
    Mass before = upto - own;
    if (before >= want || upto < want) return;
    for (int i = 0; i < kOfLane; ++i) {
      const Mass held = bins_[top - i];
      if (before + held >= want) {
        state_->bin = top - i;
        state_->wanted = want - before;
        state_->held = held;
        return;
      }
      before += held;
    }
  }

  // Returns the id of the `rank`-th token with this key, counted from 1. Overwrites the sums of
  // chunks, so that SumChunks() must follow.
  __device__ int FindTie(uint32_t key, int rank) {
    for (int chunk = warp_; chunk < chunks_; chunk += kWarps) {
      int ties = 0;
      for (int j = 0; j < kStrides; ++j) {
        const int id = chunk * kChunk + j * kWarp + lane_;
        ties += __popc(__ballot_sync(kAllLanes, id < vocab_ && KeyOf(logits_[id]) == key));
      }
      if (lane_ == 0) chunk_sum_[chunk] = static_cast<float>(ties);
    }
    __syncthreads();  // the ties of all chunks are counted
    if (warp_ == 0) {
      double target = rank - 0.5;
      const int chunk =
          FirstPast(chunks_, target, [&](int c) { return static_cast<double>(chunk_sum_[c]); });
      const int first = chunk * kChunk, size = static_cast<int>(Min(kChunk, vocab_ - first));
      const int id = first + FirstPast(size, target, [&](int i) {
                       return KeyOf(logits_[first + i]) == key ? 1.0 : 0.0;
                     });
      if (lane_ == 0) state_->last = id;
    }
    __syncthreads();  // the id is found
    return state_->last;
  }

  const float* logits_;
  int vocab_, chunks_, warp_, lane_;
  float inverse_;
  double min_p_;
  const int32_t* excluded_ = nullptr;
  int num_excluded_ = 0;
  double sum_ = 0;  // sum of weights relative to the maximum of the row; set in the first warp
  Cut cut_;
  // For each chunk: the largest logit, the sum of weights relative to it, and the same sum without
  // excluded tokens.
  float *chunk_max_, *chunk_sum_, *chunk_left_;
  Mass* bins_;
  State* state_;
};

// Samples from one row in each block of threads.
__global__ void __launch_bounds__(kThreads) SampleOneRow(SampleRowsTask task) {
  const int64_t index = blockIdx.x;
  SharedArena arena;
  Row row(task, index, arena);
  const bool fine = row.TakeMax();
  const bool first_only = task.params.temperature == 0;
  const bool filtered = first_only || (task.params.top_k > 0 && task.params.top_k < task.vocab) ||
                        task.params.top_p < 1 || task.params.min_p > 0;
  if (fine && filtered) {
    if (first_only) {
      row.KeepFirst();
    } else {
      row.KeepTopK(task.params.top_k);
      row.KeepTopP(task.params.top_p);
    }
    row.SumChunks();
  }
  if (threadIdx.x >= kWarp) return;
  const int token = fine ? row.Draw(task.uniforms[index]) : -1;
  if (threadIdx.x != 0) return;
  const float nan = __uint_as_float(0x7FC00000u);
  task.tokens[index] = token;
  task.logprobs[index] = token >= 0 ? static_cast<float>(row.LogProb(token)) : nan;
}

}  // namespace

void LaunchSampleRows(const SampleRowsTask& task, void* stream) {
  if (task.vocab < 1 || task.vocab > kMaxVocab)
    throw Error("sampling: a row must have 1 to 524288 logits");
  if (task.rows == 0) return;
  const std::size_t chunks = static_cast<std::size_t>(Parts(task.vocab, kChunk));
  const std::size_t shared =
      3 * SharedBytes<float>(chunks) + SharedBytes<Mass>(kBins) + SharedBytes<State>(1);
  Launch("SampleOneRow", SampleOneRow, dim3(static_cast<unsigned>(task.rows)), dim3(kThreads),
         shared, stream, task);
}

}  // namespace pivotal::kernels::cuda
