// Apache-2.0. Decoding on a GPU: LibTorch's products, the kernels of kernels/cuda, one wait a step.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/element_type.h"
#include "model/decoder.h"
#include "model/device_stream.h"
#include "model/kv_tensors.h"
#include "model/step_buffer.h"

namespace pivotal::model {

// A step copies what it reads in one go, computes its rows, draws their tokens, and copies these back: that copy is what it
// waits for. Steps of one size, rounded up, are recorded when they come the second time and replayed from then on, but
// for models with experts, whose routing waits for the device.
class GpuDecoder : public Decoder {
 public:
  // False for shapes and types that the kernels don't do: block-sparse attention, heads wider than 128, float64.
  static bool Supports(const PhiModel& model);

  // The model must outlive it.
  GpuDecoder(const PhiModel& model, const DecoderOptions& options, std::unique_ptr<DeviceStream> stream);

  void Prefill(std::span<const DecodeRow> rows) override;
  void Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) override;
  void Draw(std::span<const DecodeRow> rows, std::span<RowDraw> draws, const OnLogits& on_logits) override;
  int threads() const override { return 1; }

 private:
  // Steps of one size.
  struct Step {
    int64_t done = 0;
    std::unique_ptr<Recording> recording;
  };
  static constexpr std::size_t kInputs = 11;
  // Room for that many elements of each input, and floats for attention.
  void Reserve(const std::array<int64_t, kInputs>& sizes, int64_t workspace);
  // Makes a step's inputs and copies them: `rows`, and nothing in the places up to `padded`.
  void Fill(std::span<const DecodeRow> rows, int64_t padded, std::span<const RowDraw> draws, int64_t part_tokens);
  // Of the rows that were filled in; room for `max_shares` of their attention.
  at::Tensor Hidden(int64_t rows, int64_t max_shares);
  at::Tensor Attend(int64_t layer, const at::Tensor& query, int64_t max_shares);
  // Into logits_, of the rows that were filled in.
  void Logits(int64_t rows, int64_t max_shares);
  void RunStep(int64_t rows, int64_t max_shares);

  const PhiModel& model_;
  std::unique_ptr<DeviceStream> stream_;
  kernels::cuda::ElementType type_;
  bool records_;
  kernels::AttentionShape shape_;
  std::optional<KvTensors> kv_;
  kernels::cuda::AttentionPlan plan_;
  std::vector<std::span<const kernels::KvPiece>> pieces_;
  StepBuffer inputs_;
  bool uploading_ = false;  // the host's side may still be read
  int tokens_, positions_, places_, is_long_, uniforms_, shares_, num_shares_, blocks_, counts_, lengths_, part_ends_;
  at::Tensor workspace_;               // of attention
  at::Tensor logits_;                  // [max rows, V] float32
  at::Tensor drawn_, drawn_on_host_;   // [2, max rows] int32: tokens, and the bits of their log-probabilities
  std::map<std::pair<int64_t, int64_t>, Step> steps_;  // by rows and shares
};

}  // namespace pivotal::model
