// Apache-2.0. Decoders compute tokens whose past keys and values lie in blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/packed_matrix.h"
#include "kernels/paged_attention.h"
#include "kernels/sample_row.h"
#include "pivotal/policy.h"
#include "pivotal/tokenizer.h"

namespace pivotal::model {

struct PhiConfig;
class PhiModel;

// One token to compute: its id, its position, and where its past lies.
struct DecodeRow {
  TokenId token;                             // or Decoder::Pending()
  int64_t position;                          // in its sequence, from 0
  bool is_long;                              // rotated by LongRoPE's long factors
  std::span<const kernels::KvPiece> pieces;  // position + 1 tokens, this one the last
  // Where the token's keys and values are to be stored: token `offset` of block `block`.
  // -1: they are stored already.
  int32_t block = -1, offset = 0;
};

// How to sample the token that follows a row.
struct RowDraw {
  const SamplingParams* params;  // validated
  double uniform;                // random number in [0, 1)
  kernels::Draw result = {};
};

// Times of a decoder's passes by the clock of its device.
struct DeviceTimes {
  int64_t steps = 0, rows = 0;  // passes that sample, and the rows that they sample from
  double step_seconds = 0;      // in those
  double other_seconds = 0;     // in other passes: prefills, scores
  double idle_seconds = 0;      // from the end of a pass to the beginning of the next
};

// Computes rows with a copy of the model's weights, made once: later changes of the weights are not
// seen.
class Decoder {
 public:
  virtual ~Decoder() = default;

  // Computes and stores keys and values. A row may attend to other rows of the call.
  virtual void Prefill(std::span<const DecodeRow> rows) = 0;

  // Receives the logits [V] of one row, float32, which it may overwrite. Several threads call it,
  // once for each row; `thread` is in [0, threads()).
  using OnLogits = std::function<void(int64_t row, int thread, std::span<float> logits)>;

  // Computes logits. A row attends to itself and to keys and values of earlier calls. Adjacent rows
  // read common leading pieces once. Rethrows, after the pass, what `on_logits` throws.
  virtual void Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) = 0;

  // Samples the tokens that follow the first draws.size() rows, and gives the logits of the
  // remaining rows to `on_logits`. Throws Error if a row's logits make no distribution
  // (kernels::RowSampler).
  virtual void Draw(std::span<const DecodeRow> rows, std::span<RowDraw> draws,
                    const OnLogits& on_logits);

  // Returns, as the token of a row, the one that the i-th draw of the latest started step gives.
  static TokenId Pending(std::size_t i) { return -1 - static_cast<TokenId>(i); }
  // Returns whether a step can be started before the step before it has been finished. At most two
  // steps can be in progress.
  virtual bool overlaps() const { return false; }
  // Starts what Draw() does; Finish() ends the step that was started first. The arguments must live
  // until then. A decoder that doesn't overlap computes all of the step here.
  virtual void Start(std::span<const DecodeRow> rows, std::span<RowDraw> draws,
                     const OnLogits& on_logits) {
    Draw(rows, draws, on_logits);
  }
  virtual void Finish() {}
  // Forgets the steps that were started and not finished, after waiting for them.
  virtual void Abandon() {}

  virtual int threads() const = 0;
  virtual PassTimes times() const { return {}; }
  // Returns nothing if the decoder was not asked for times (DecoderOptions), or has none yet.
  virtual std::optional<DeviceTimes> device_times() const { return {}; }
  // Returns the bytes of the copied weights; 0 if the decoder reads the model's own.
  virtual std::size_t weight_bytes() const { return 0; }

 private:
  std::vector<kernels::RowSampler> samplers_;  // one a thread
};

struct DecoderOptions {
  int64_t blocks = 0;                          // capacity for keys and values
  int64_t max_rows = 0;                        // rows of a call that computes logits, at most
  int64_t max_prefill = 0;                     // rows of a prefill, at most
  std::optional<kernels::WeightType> weights;  // storage of weights; nothing: the model's type
  bool timed = false;                          // keeps Decoder::device_times()
};

// Makes the fastest decoder for the model: on a CPU, kernels/cpu_kernels.h; on a GPU, kernels/cuda
// where the build has them and they support the model; else, and for float64, LibTorch's operators.
// Only the CPU's decoder can store weights in another type: the others read the model's own, and
// throw Error if asked for another type.
std::unique_ptr<Decoder> MakeDecoder(const PhiModel& model, const DecoderOptions& options);

// Returns the bytes of one number among the keys and values of MakeDecoder's decoder.
int64_t KvElementBytes(const PhiModel& model);
// Returns the bytes of one token's keys and values in all layers, padding included.
int64_t KvBytesPerToken(const PhiConfig& config, int64_t element_bytes = 4);

// Returns the settings of attention in a config, as kernels take them.
kernels::AttentionShape AttentionShapeOf(const PhiConfig& config);

}  // namespace pivotal::model
