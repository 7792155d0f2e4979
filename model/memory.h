// Apache-2.0. Memory: what a model and its training need, and what a device has free.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <exception>
#include <filesystem>
#include <string>

#include "model/phi_config.h"
#include "model/quantised_matrix.h"
#include "pivotal/error.h"

namespace pivotal::model {

// What a model needs, in bytes, without activations and LibTorch itself.
struct Footprint {
  int64_t parameters = 0;         // numbers, not bytes
  int64_t active_parameters = 0;  // those that one token uses: two of the experts
  int64_t lora_parameters = 0;    // numbers of adapters on every linear layer
  int64_t weights = 0;
  int64_t kv_per_token = 0;      // keys and values of one token
  int64_t full_fine_tuning = 0;  // weights, gradients, two float32 moments; for 16-bit weights,
                                 // float32 master weights too
  int64_t lora_fine_tuning = 0;  // weights; adapters in float32 with gradients and two moments
  int64_t nf4_weights = 0;       // with the linear layers of the decoder in 4 bits
  int64_t nf4_lora_fine_tuning = 0;
};

// Counts what a model needs. `element` is the bytes of one weight: 4 or 2.
Footprint FootprintOf(const PhiConfig& config, int64_t element, int64_t lora_rank);

// Returns the bytes of a model's weights. `element` is the bytes of one that is not quantised.
int64_t WeightBytes(const PhiConfig& config, int64_t element, BaseWeights base);

// The settings of a training run that its memory depends on.
struct TrainingShape {
  int64_t element = 4;  // bytes of one weight
  BaseWeights base = BaseWeights::kPlain;
  int64_t trained = 0;          // trained parameters
  int64_t trained_element = 4;  // bytes of one trained parameter: adapters are in float32
  bool master = false;          // the optimizer keeps float32 copies of trained parameters
  bool quantised = false;       // it keeps its moments in 8 bits
  bool fused_backward = false;  // gradients of one layer exist at a time
  int64_t ranks = 1;            // processes that divide the optimizer's state
  bool shard_weights = false;   // they divide weights and gradients, too
  int64_t tokens = 0;           // tokens of the largest forward pass
  int64_t targets = 0;          // tokens of it whose logits are computed
  bool activation_checkpointing = false;
  bool flash = false;            // attention keeps no keys and values repeated for each query head
  bool moves_reference = false;  // a second copy of the trained parameters is the reference
  bool bfloat16_on_cpu = false;  // LibTorch multiplies by oneDNN, which has buffers of its own
};

// The optimizer holds gradients of 16-bit weights in float32 for so many elements at once, or for
// one larger tensor: 64 MiB.
constexpr int64_t kWideElements = int64_t{1} << 24;

// Peak bytes of training with AdamW on one rank. Activations are counted from what each layer keeps
// for the backward pass, which frees them as gradients come.
struct TrainingFootprint {
  int64_t weights = 0, gradients = 0, optimizer = 0, activations = 0;
  // The most that gradients and activations take at one time.
  int64_t backward = 0;
  // The gradients that are in float32 at once, the numbers of a quantised matrix, the weights that
  // other ranks send for a while, the logits of a few positions, and LibTorch itself.
  int64_t working = 0;
  int64_t reference = 0;  // the second copy of the trained parameters
  int64_t Total() const { return weights + optimizer + backward + working + reference; }
};
TrainingFootprint TrainingFootprintOf(const PhiConfig& config, const TrainingShape& shape);

// Begins a new measurement of PeakMemory(). A system that does not let this process do so leaves
// the earlier peak.
void ResetPeakMemory(c10::Device device);
// Returns the largest number of bytes that this process has held since: resident memory for the
// CPU, LibTorch's allocations for a GPU.
int64_t PeakMemory(c10::Device device);

// Returns the bytes that can be allocated now on `device`. On the CPU these are what the kernel
// reports as available, within the limits of the process's control groups and addresses.
int64_t FreeMemory(c10::Device device);

// Returns the bytes that the limits of a process's control groups leave, of version 2 or 1; the
// largest number if there are none. `groups` is where the groups are mounted (/sys/fs/cgroup),
// `memberships` the list of the process's groups (/proc/self/cgroup).
int64_t GroupFree(const std::filesystem::path& groups, const std::filesystem::path& memberships);

// Returns whether `error` reports that memory ran out: that of C++, or of LibTorch on any device.
bool IsOutOfMemory(const std::exception& error);

// Lets LibTorch throw where memory runs out, instead of ending the process, as some builds of it
// do.
void LetAllocationsThrow();

// Returns f(). Where memory runs out in it, throws Error that says so, with what was being done
// ("loading the model") and the remedy ("take --dtype bfloat16").
template <typename F>
auto WithMemoryFor(const std::string& doing, const std::string& remedy, F&& f) {
  LetAllocationsThrow();
  try {
    return f();
  } catch (const std::exception& error) {
    if (!IsOutOfMemory(error)) throw;
    throw Error("memory ran out while " + doing + "; " + remedy);
  }
}

// Returns a text like "1.50 GiB".
std::string BytesText(int64_t bytes);

}  // namespace pivotal::model
