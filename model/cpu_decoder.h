// Apache-2.0. Decoding on a CPU by kernels/cpu_kernels.h, in buffers that are allocated once.
#pragma once

#include <exception>
#include <mutex>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/thread_team.h"
#include "model/decoder.h"
#include "model/layers.h"
#include "model/packed_weights.h"
#include "model/phi_config.h"

namespace pivotal::model {

// All threads work on one pass. With many rows, each thread computes its own rows through all
// layers. With few rows, each thread computes a part of every matrix product. Both ways do the same
// operations in the same order: a row's logits depend only on its own tokens, to the bit.
class CpuDecoder : public Decoder {
 public:
  // Returns false for float64 and for models that are not on the CPU.
  static bool Supports(const PhiModel& model);

  // Uses at::get_num_threads() threads.
  CpuDecoder(const PhiModel& model, const DecoderOptions& options);
  ~CpuDecoder() override;

  void Prefill(std::span<const DecodeRow> rows) override;
  void Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) override;
  int threads() const override { return team_.size(); }
  PassTimes times() const override;
  std::size_t weight_bytes() const override { return weight_bytes_; }

 private:
  class Pass;
  class KvMemory;

  // Row i of a buffer belongs to row i of the pass.
  struct Buffer {
    Buffer() = default;
    Buffer(int64_t rows, int64_t stride);
    float* row(int64_t i) const { return data.get() + i * stride; }
    kernels::AlignedArray<float> data;
    int64_t stride = 0;  // floats from one row to the next
  };
  // The memory of one thread.
  struct Scratch {
    std::vector<float> attention;
    std::vector<float> update;  // rows times `a` of a low-rank update
    std::vector<int32_t> expert_rows;
    std::vector<float> expert_weights;
    PassTimes times;
  };

  void Run(std::span<const DecodeRow> rows, const OnLogits* on_logits);
  // Makes the angles and the attention workspace large enough for `rows`.
  void Prepare(std::span<const DecodeRow> rows);
  // Returns the row's cosines [R/2], followed by its sines.
  const float* Angles(const DecodeRow& row) const;

  PhiConfig config_;
  kernels::AttentionShape shape_;
  kernels::ActivationTask activation_;
  Rope rope_;
  const kernels::CpuKernels& kernels_ = kernels::Kernels();
  kernels::ThreadTeam team_;
  PackedWeights weights_;
  std::size_t weight_bytes_;
  std::unique_ptr<KvMemory> kv_;
  int64_t max_rows_;
  int64_t logit_rows_;  // rows of logits that one thread holds at once
  Buffer x_, normed_, qkv_, attended_, up_, routed_, expert_, logits_;
  std::vector<Scratch> scratch_;
  std::vector<float> angles_[2];  // short and long factors: [position][cosines, sines][R/2]
  std::mutex failure_lock_;
  std::exception_ptr failure_;
};

}  // namespace pivotal::model
