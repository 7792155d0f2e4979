// Apache-2.0. Decoding on a GPU: LibTorch's matrix products, attention and sampling of
// kernels/cuda, one wait a step.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <deque>
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
#include "model/ragged_attention.h"
#include "model/step_clock.h"
#include "model/tensor_decoder.h"

namespace pivotal::model {

// The inputs of a step: several arrays in one buffer of page-locked memory, copied to the device in
// one transfer. The device's addresses stay the same until Grow() moves them, so that recorded work
// reads what the latest Upload() brought. The host has two such buffers, which take turns: one is
// written while the other is in transfer.
class StepBuffer {
 public:
  StepBuffer(c10::Device device, DeviceStream& stream) : device_(device), stream_(stream) {}

  // Declares an array, before the first Grow(). Returns its index.
  template <typename T>
  int Add() {
    arrays_.push_back({sizeof(T), 0, 0});
    return static_cast<int>(arrays_.size()) - 1;
  }
  // Makes room for sizes[i] elements of array i. Returns true if the device's addresses changed.
  bool Grow(std::span<const int64_t> sizes);

  // Takes the host's other buffer, when its transfer is done. To be called before arrays are
  // written.
  void Turn();
  // Returns the host's side of an array.
  template <typename T>
  T* host(int array) {
    return reinterpret_cast<T*>(host_[turn_].mutable_data_ptr<uint8_t>() +
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
  template <typename T>
  T* mutable_device(int array) {
    return reinterpret_cast<T*>(copy_.mutable_data_ptr<uint8_t>() +
                                arrays_[static_cast<std::size_t>(array)].offset);
  }

  // Copies all arrays from host to device, on the current stream.
  void Upload();

 private:
  struct Array {
    std::size_t element;  // bytes of one element
    int64_t capacity;     // elements
    std::size_t offset;   // bytes from the start of the buffer
  };
  c10::Device device_;
  DeviceStream& stream_;
  std::vector<Array> arrays_;
  at::Tensor host_[2], copy_;             // bytes
  std::unique_ptr<Moment> transfers_[2];  // when the transfer of a buffer is done
  int turn_ = 0;
};

// A step copies its inputs to the device in one transfer, computes its rows, samples their tokens,
// and copies the tokens back. The next step can start before these have come: it takes the tokens
// where they are, on the device, so that the device goes on while the host plans and looks for
// ends. In Phi-3 and its like a layer is
// its four matrix products and five launches of kernels/cuda; other models run LibTorch's
// operators around the kernels of attention. The number of rows is rounded up to one of few sizes.
// From the second step of a size on, the step is recorded and replayed, except for models with
// experts, whose routing waits for the device.
class GpuDecoder : public Decoder {
 public:
  // Returns false for what the kernels can't do: block-sparse attention, heads wider than 128,
  // float64.
  static bool Supports(const PhiModel& model);

  // The model must outlive the decoder. `flash` computes prefills where it is not null and they
  // suit it (PlanPrefill).
  GpuDecoder(const PhiModel& model, const DecoderOptions& options,
             std::unique_ptr<DeviceStream> stream, RaggedKernel flash);

  void Prefill(std::span<const DecodeRow> rows) override;
  void Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) override;
  void Draw(std::span<const DecodeRow> rows, std::span<RowDraw> draws,
            const OnLogits& on_logits) override;
  bool overlaps() const override { return true; }
  void Start(std::span<const DecodeRow> rows, std::span<RowDraw> draws,
             const OnLogits& on_logits) override;
  void Finish() override;
  void Abandon() override;
  int threads() const override { return 1; }
  std::optional<DeviceTimes> device_times() const override;

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
  // A step that was started and not finished.
  struct Flight {
    std::span<RowDraw> draws;
    const OnLogits* on_logits;
    int buffer;                    // index into drawn_ and drawn_on_host_
    at::Tensor logits;             // of the rows after the draws, on their way to the host
    std::unique_ptr<Moment> done;  // when all results are on the host
  };
  // Makes room for sizes[i] elements of input i, and for attention of `rows` with `parts` in all.
  void Reserve(const std::array<int64_t, kInputs>& sizes, int64_t rows, int64_t parts);
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
  std::unique_ptr<StepClock> clock_;  // null: not timed
  kernels::ElementType type_;
  bool fused_;  // whether the layers are FusedHidden()'s
  bool records_;
  RaggedKernel flash_;
  kernels::AttentionShape shape_;
  std::optional<KvTensors> kv_;
  kernels::cuda::AttentionPlan plan_;
  std::vector<std::span<const kernels::KvPiece>> pieces_;
  StepBuffer inputs_;
  // Of the latest pass, where it takes the place of plan_.
  std::optional<RaggedAttention> prefill_;
  // Indices of arrays in inputs_.
  int tokens_, positions_, slots_, is_long_, uniforms_, spans_, tiles_, num_work_, blocks_, counts_,
      lengths_, part_ends_;
  // Of attention: scratch memory, and [rows * heads] int32, which are zeros between launches.
  at::Tensor workspace_, arrived_;
  at::Tensor logits_;  // [max rows, V] float32
  // [2, max rows] int32, of the latest two steps in turn: tokens; bits of log-probabilities
  at::Tensor drawn_[2], drawn_on_host_[2];
  int latest_ = 0;  // index of the latest step's
  std::deque<Flight> flights_;
  std::map<StepSize, Step> steps_;
};

}  // namespace pivotal::model
