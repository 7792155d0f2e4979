// Apache-2.0. Decoding on a GPU: LibTorch's matrix products, attention and sampling of
// kernels/cuda, one wait a step.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/decode_attention.h"
#include "model/cuda_stream.h"
#include "model/decoder.h"
#include "model/layers.h"
#include "model/tensor_decoder.h"

namespace pivotal::model {

// The inputs of a step: several arrays in one buffer of page-locked memory, copied to the device in
// one transfer. The device's addresses stay the same until Grow() moves them, so that recorded work
// reads what the latest Upload() brought.
class StepBuffer {
 public:
  explicit StepBuffer(c10::Device device) : device_(device) {}

  // Declares an array, before the first Grow(). Returns its index.
  template <typename T>
  int Add() {
    arrays_.push_back({sizeof(T), 0, 0});
    return static_cast<int>(arrays_.size()) - 1;
  }
  // Makes room for sizes[i] elements of array i. Returns true if the device's addresses changed.
  bool Grow(std::span<const int64_t> sizes);

  // Returns the host's side of an array, to be written after the latest Upload() is done.
  template <typename T>
  T* host(int array) {
    return reinterpret_cast<T*>(host_.mutable_data_ptr<uint8_t>() +
                                arrays_[static_cast<std::size_t>(array)].offset);
  }
  // Return the device's side of an array: its address; its first `size` elements as a tensor
  // [size].
  template <typename T>
  const T* device(int array) const {
    return reinterpret_cast<const T*>(copy_.const_data_ptr<uint8_t>() +
                                      arrays_[static_cast<std::size_t>(array)].offset);
  }
  at::Tensor tensor(int array, at::ScalarType type, int64_t size) const;

  // Copies all arrays from host to device, on the current stream.
  void Upload();

 private:
  struct Array {
    std::size_t element;  // bytes of one element
    int64_t capacity;     // elements
    std::size_t offset;   // bytes from the start of the buffer
  };
  c10::Device device_;
  std::vector<Array> arrays_;
  at::Tensor host_, copy_;  // bytes
};

// A step copies its inputs to the device in one transfer, computes its rows, samples their tokens,
// and copies the tokens back; it waits only for that last copy. In Phi-3 and its like a layer is
// its four matrix products and seven launches of kernels/cuda at most; other models run LibTorch's
// operators around the kernels of attention. The number of rows is rounded up to one of few sizes.
// From the second step of a size on, the step is recorded and replayed, except for models with
// experts, whose routing waits for the device.
class GpuDecoder : public Decoder {
 public:
  // Returns false for what the kernels can't do: block-sparse attention, heads wider than 128,
  // float64.
  static bool Supports(const PhiModel& model);

  // The model must outlive the decoder.
  GpuDecoder(const PhiModel& model, const DecoderOptions& options,
             std::unique_ptr<DeviceStream> stream);

  void Prefill(std::span<const DecodeRow> rows) override;
  void Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) override;
  void Draw(std::span<const DecodeRow> rows, std::span<RowDraw> draws,
            const OnLogits& on_logits) override;
  int threads() const override { return 1; }

 private:
  // What the launches of a step depend on: its rows, and how many spans and tiles there is room
  // for.
  struct StepSize {
    int64_t rows, spans, tiles;
    auto operator<=>(const StepSize&) const = default;
  };
  // Steps of one size.
  struct Step {
    int64_t done = 0;
    std::unique_ptr<Recording> recording;
  };
  static constexpr std::size_t kInputs = 12;
  // Makes room for sizes[i] elements of input i, and `workspace` floats for attention.
  void Reserve(const std::array<int64_t, kInputs>& sizes, int64_t workspace);
  // Uploads the inputs of a step: `rows`, followed by empty rows up to `padded`.
  // `tile_tokens` is AttentionPlanOptions'.
  void Fill(std::span<const DecodeRow> rows, int64_t padded, std::span<const RowDraw> draws,
            int64_t tile_tokens);
  // Returns the hidden states [rows, hidden] of the uploaded rows.
  at::Tensor Hidden(const StepSize& size);
  at::Tensor FusedHidden(const at::Tensor& tokens, const RopeAngles& angles, const StepSize& size);
  // Computes attention of `query` [rows, heads, D] -> [rows, heads * D].
  at::Tensor Attend(int64_t layer, const at::Tensor& query, const StepSize& size);
  // Computes the logits of the uploaded rows, into logits_.
  void Logits(const StepSize& size);
  // Does what Logits() does; replays a recording where there is one.
  void RunStep(const StepSize& size);

  const PhiModel& model_;
  std::unique_ptr<DeviceStream> stream_;
  kernels::cuda::ElementType type_;
  bool fused_;  // whether the layers are FusedHidden()'s
  bool records_;
  kernels::AttentionShape shape_;
  std::optional<KvTensors> kv_;
  kernels::cuda::AttentionPlan plan_;
  std::vector<std::span<const kernels::KvPiece>> pieces_;
  StepBuffer inputs_;
  bool uploading_ = false;  // the device may still read the host's side of inputs_
  // Indices of arrays in inputs_.
  int tokens_, positions_, slots_, is_long_, uniforms_, spans_, tiles_, num_work_, blocks_, counts_,
      lengths_, part_ends_;
  at::Tensor workspace_;              // attention's scratch memory
  at::Tensor logits_;                 // [max rows, V] float32
  at::Tensor drawn_, drawn_on_host_;  // [2, max rows] int32: tokens; bits of log-probabilities
  std::map<StepSize, Step> steps_;
};

}  // namespace pivotal::model
