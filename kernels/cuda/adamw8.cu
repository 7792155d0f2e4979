// Apache-2.0.
#include "kernels/cuda/adamw8.h"

#include "kernels/cuda/device.h"

namespace pivotal::kernels::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarp;
constexpr int kPerLane = kMomentBlock / kWarp;  // consecutive elements of a lane
constexpr int64_t kMaxGrid = 2048;              // thread blocks; each copies the tables once
constexpr int kTableWords = sizeof(MomentTables) / sizeof(uint32_t);

// Writes the first `count` of a lane's elements. `aligned`: all can be written at once.
template <typename T>
__device__ void Write(T* p, int count, bool aligned, const Group<T, kPerLane>& eight) {
  if (aligned && count == kPerLane) {
    StoreGroup(p, eight);
  } else {
    for (int i = 0; i < kPerLane; ++i)
      if (i < count) p[i] = eight.at[i];
  }
}

__device__ void SetBits(float*, uint16_t) {}
__device__ void SetBits(__half*, uint16_t) {}
__device__ void SetBits(__nv_bfloat16* p, uint16_t bits) { *p = __ushort_as_bfloat16(bits); }

// Steps one block of kMomentBlock elements in each warp, then the next one that no other warp has.
template <typename T, typename G>
__global__ void __launch_bounds__(kThreads)
    StepMomentBlocks(AdamW8Task task, int64_t blocks, bool aligned) {
  if (task.skip != nullptr && *task.skip != 0) return;
  SharedArena arena;
  auto* const words = arena.Take<uint32_t>(kTableWords);
  for (int i = static_cast<int>(threadIdx.x); i < kTableWords; i += kThreads)
    words[i] = reinterpret_cast<const uint32_t*>(task.tables)[i];
  const auto* const tables = reinterpret_cast<const MomentTables*>(words);
  __syncthreads();  // the tables are there
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float clip = task.clip != nullptr ? *task.clip : 1.0f;
  const float keep = 1 - task.learning_rate * task.weight_decay;
  const float step = task.learning_rate / task.correction1, root = 1 / sqrtf(task.correction2);
  for (int64_t block = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
       block < blocks; block += static_cast<int64_t>(gridDim.x) * kWarps) {
    const int64_t first_element = block * kMomentBlock + lane * kPerLane;
    const int count = static_cast<int>(Max(0, Min(kPerLane, task.size - first_element)));
    const bool all = count == kPerLane, whole = aligned && all;
    // Everything is on its way before anything is used. Moments are aligned as their tensors are.
    const auto first_words = ReadWords<uint8_t, kPerLane>(task.first + first_element, count, all);
    const auto second_words = ReadWords<uint8_t, kPerLane>(task.second + first_element, count, all);
    const float first_scale = task.first_scale[block], second_scale = task.second_scale[block];
    Words<G, kPerLane> gradient_words = {};
    if (task.gradient != nullptr)
      gradient_words = ReadWords<G, kPerLane>(static_cast<const G*>(task.gradient) + first_element,
                                              count, whole);
    Words<float, kPerLane> master_words = {};
    Words<T, kPerLane> parameter_words = {};
    if (task.master != nullptr) {
      master_words = ReadWords<float, kPerLane>(task.master + first_element, count, whole);
    } else {
      parameter_words = ReadWords<T, kPerLane>(
          static_cast<const T*>(task.parameter) + first_element, count, whole);
    }
    const auto gradient = TakeApart(gradient_words);
    const auto master = TakeApart(master_words);
    const auto parameter = TakeApart(parameter_words);
    auto first_codes = TakeApart(first_words), second_codes = TakeApart(second_words);
    float x[kPerLane], first[kPerLane], second[kPerLane];
    for (int i = 0; i < kPerLane; ++i)
      x[i] = task.master != nullptr ? master.at[i] : ToFloat(parameter.at[i]);
    float largest1 = 0, largest2 = 0;
    for (int i = 0; i < kPerLane; ++i) {
      const float g = ToFloat(gradient.at[i]) * clip;
      first[i] = second[i] = 0;
      if (i >= count) continue;
      first[i] = tables->first[first_codes.at[i]] * first_scale * task.beta1 + g * (1 - task.beta1);
      second[i] =
          tables->second[second_codes.at[i]] * second_scale * task.beta2 + g * g * (1 - task.beta2);
      x[i] = x[i] * keep - step * first[i] / (sqrtf(second[i]) * root + task.epsilon);
      largest1 = fmaxf(largest1, fabsf(first[i]));
      largest2 = fmaxf(largest2, second[i]);
    }
    largest1 = WarpMax(largest1);
    largest2 = WarpMax(largest2);
    if (task.master != nullptr) {
      Group<float, kPerLane> wide;
      for (int i = 0; i < kPerLane; ++i) wide.at[i] = x[i];
      Write(task.master + first_element, count, aligned, wide);
    }
    Group<T, kPerLane> rounded;
    for (int i = 0; i < kPerLane; ++i) Store(rounded.at + i, x[i]);
    if (task.stochastic) {
      for (int i = 0; i < kPerLane; i += 4) {
        const uint64_t random =
            RoundingBits(task.seed, static_cast<uint64_t>(first_element + i) / 4);
        for (int j = 0; j < 4; ++j)
          SetBits(rounded.at + i + j, RandomlyRounded(x[i + j], random >> (16 * j)));
      }
    }
    Write(static_cast<T*>(task.parameter) + first_element, count, aligned, rounded);
    const float scale1 = largest1 > 0 ? largest1 : 1, scale2 = largest2 > 0 ? largest2 : 1;
    for (int i = 0; i < kPerLane; ++i) {
      first_codes.at[i] = FirstMomentCode(first[i] / scale1, *tables);
      second_codes.at[i] = SecondMomentCode(second[i] / scale2, *tables);
    }
    Write(task.first + first_element, count, true, first_codes);
    Write(task.second + first_element, count, true, second_codes);
    __syncwarp();  // all lanes have read the scales
    if (lane == 0) {
      task.first_scale[block] = largest1;
      task.second_scale[block] = largest2;
    }
  }
}

bool IsAligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

template <typename T, typename G>
void Start(const AdamW8Task& task, void* stream) {
  const int64_t blocks = task.Blocks();
  const bool aligned =
      IsAligned(task.parameter) && IsAligned(task.master) && IsAligned(task.gradient);
  const dim3 grid(static_cast<unsigned>(Min(kMaxGrid, Parts(blocks, kWarps))));
  Launch("StepMomentBlocks", StepMomentBlocks<T, G>, grid, dim3(kThreads),
         SharedBytes<uint32_t>(kTableWords), stream, task, blocks, aligned);
}

// Starts with gradients in the type of the parameter, or in float32.
template <typename T>
void StartFor(const AdamW8Task& task, void* stream) {
  if (task.gradient_type == ElementType::kFloat32) {
    Start<T, float>(task, stream);
  } else {
    Start<T, T>(task, stream);
  }
}

}  // namespace

void LaunchAdamW8(const AdamW8Task& task, void* stream) {
  if (task.size == 0) return;
  switch (task.type) {
    case ElementType::kFloat32: return StartFor<float>(task, stream);
    case ElementType::kBfloat16: return StartFor<__nv_bfloat16>(task, stream);
    case ElementType::kFloat16: return StartFor<__half>(task, stream);
  }
}

}  // namespace pivotal::kernels::cuda
