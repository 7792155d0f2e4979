// Apache-2.0. AdamW's state of tensors and a step on lists of them, on one process.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kernels/thread_team.h"
#include "pivotal/training.h"

namespace pivotal::dpo {

// Rounds `x` (float32) to bfloat16 at random: each element becomes one of its two neighbours, with
// probabilities that make the expectation exact (arXiv 2010.06192). The random bits are a pure
// function of seed, shape and device type. Throws Error for another type.
at::Tensor StochasticRound(const at::Tensor& x, uint64_t seed);

// Cuts tensors of so many elements into runs of consecutive ones: a run has at most `limit`
// elements in all, or is a single larger tensor. Returns the number of tensors of each run.
std::vector<std::size_t> Runs(std::span<const int64_t> elements, int64_t limit);

// Holds a trained tensor and its optimizer state.
struct TrainedTensor {
  std::string name;
  at::Tensor parameter;
  double weight_decay = 0;
  // What is updated: the parameter itself or its float32 copy; undefined for kStochastic.
  at::Tensor master;
  // In float32 or wider; or codes (uint8) with a scale for each block of kernels::kMomentBlock
  // elements [blocks], which are undefined otherwise.
  at::Tensor first_moment, second_moment, first_scale, second_scale;

  // Returns whether its moments are kept in 8 bits.
  bool IsQuantised() const { return first_scale.defined(); }
  // Returns the part of the state that is saved, by name, e.g. "first_moment.lm_head.weight",
  // "first_scale.lm_head.weight", "master.lm_head.weight".
  std::vector<std::pair<std::string, at::Tensor>> State() const;
};

// Sets master and moments of a tensor before the first step. Throws Error if the options cannot be
// applied to its type: kStochastic needs bfloat16, 8-bit moments need float32 or 16 bits.
void MakeState(const OptimizerOptions& options, TrainedTensor& tensor);
// Returns the shapes and types of State() for a tensor whose state is elsewhere, as meta tensors.
std::vector<std::pair<std::string, at::Tensor>> EmptyState(const OptimizerOptions& options,
                                                           const TrainedTensor& tensor);

// Moments of tensors with fewer elements, and those of vectors, stay in float32.
constexpr int64_t kSmallestQuantised = 4096;

// Makes steps on lists of tensors.
class AdamWStep {
 public:
  explicit AdamWStep(const OptimizerOptions& options) : options_(options) {}

  // What is done to all tensors of a list.
  struct Change {
    double learning_rate;
    int64_t step;            // counts from 1
    at::Tensor step_tensor;  // the same, a scalar (float32) on the device
    at::Tensor clip;         // on the device, the factor of all gradients, or of each [n];
                             // undefined: 1
    at::Tensor nothing;      // scalar on the device (float32): 1, to change nothing, else 0
  };
  // Updates tensors of one type, weight decay and kind of moments, and clears their gradients. A
  // tensor without a gradient is updated as if it were zero. `ids` are the tensors' numbers, which
  // random rounding depends on.
  void Update(std::span<TrainedTensor* const> tensors, std::span<const std::size_t> ids,
              const Change& change);

 private:
  void UpdateByLibTorch(std::span<TrainedTensor* const> tensors, std::span<const std::size_t> ids,
                        const Change& change);
  void UpdateQuantised(TrainedTensor& tensor, uint64_t seed, const Change& change,
                       const at::Tensor& clip);
  uint64_t RoundingSeed(int64_t step, std::size_t id) const;

  OptimizerOptions options_;
  at::Tensor tables_;                        // kernels::MomentTables on the GPU; made when needed
  std::optional<kernels::ThreadTeam> team_;  // on the CPU; made when needed
};

}  // namespace pivotal::dpo
