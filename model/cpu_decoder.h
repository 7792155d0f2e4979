// Apache-2.0. Decoding on a CPU: kernels on buffers that were made once, no operators.
#pragma once

#include <exception>
#include <mutex>
#include <vector>

#include "kernels/cpu_kernels.h"
#include "kernels/thread_team.h"
#include "model/decoder.h"
#include "model/packed_weights.h"

namespace pivotal::model {

// All threads go through a pass together. Many rows are dealt out: each thread takes its rows through all
// layers by itself. Few rows go together, and each thread computes a part of each product. Either way every
// number is the same chain of operations: logits depend on the row's own tokens alone, to the bit.
class CpuDecoder : public Decoder {
 public:
  // False for float64, and off the CPU.
  static bool Supports(const PhiModel& model);

  // On at::get_num_threads() threads.
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

  // Rows of float32, in the one order of all of them.
  struct Buffer {
    Buffer() = default;
    Buffer(int64_t rows, int64_t stride);
    float* row(int64_t i) const { return data.get() + i * stride; }
    kernels::AlignedArray<float> data;
    int64_t stride = 0;
  };
  // Of a thread.
  struct Scratch {
    std::vector<float> attention;
    std::vector<int32_t> expert_rows;
    std::vector<float> expert_weights;
    PassTimes times;
  };

  void Run(std::span<const DecodeRow> rows, const OnLogits* on_logits);
  void Prepare(std::span<const DecodeRow> rows);
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
  int64_t max_rows_, logit_rows_;  // logit_rows_: of a thread at a time
  Buffer x_, normed_, qkv_, attended_, up_, routed_, expert_, logits_;
  std::vector<Scratch> scratch_;
  std::vector<float> angles_[2];  // short and long: [position][cosines, sines][R/2]
  std::mutex failure_lock_;
  std::exception_ptr failure_;
};

}  // namespace pivotal::model
