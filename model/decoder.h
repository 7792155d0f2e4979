// Apache-2.0. Forward passes over tokens whose past is in blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "data/tokenizer.h"
#include "kernels/packed_matrix.h"
#include "kernels/paged_attention.h"
#include "kernels/sample_row.h"
#include "model/phi_model.h"
#include "model/policy.h"

namespace pivotal::model {

// A token at the end of a sequence.
struct DecodeRow {
  TokenId token;
  int64_t position;                          // from 0
  bool is_long;                              // of a sequence under LongRoPE's long factors
  std::span<const kernels::KvPiece> pieces;  // position + 1 tokens, this one the last
  int32_t block = -1, offset = 0;            // where its keys and values go; -1: they are there already
};

// How the token after a row is drawn.
struct RowDraw {
  const kernels::SamplingParams* params;  // valid
  double uniform;                         // in [0, 1)
  kernels::Draw result = {};
};

// Computes rows with weights that were prepared once: later changes of the model's weights are not seen.
class Decoder {
 public:
  virtual ~Decoder() = default;

  // Computes and stores keys and values. Rows may attend to one another.
  virtual void Prefill(std::span<const DecodeRow> rows) = 0;

  // Called from several threads, each row once, its logits [V] in float32 to keep or to overwrite.
  using OnLogits = std::function<void(int64_t row, int thread, std::span<float> logits)>;

  // Rows attend to themselves and to what was stored before. Those that follow one another share the reading
  // of what their pieces share. What `on_logits` throws is thrown here when the pass is over.
  virtual void Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) = 0;

  // Draws the tokens after the first draws.size() rows; the logits of the others go to `on_logits`. Throws
  // std::invalid_argument for a row that can't be drawn from (kernels::RowSampler).
  virtual void Draw(std::span<const DecodeRow> rows, std::span<RowDraw> draws, const OnLogits& on_logits);

  virtual int threads() const = 0;
  virtual PassTimes times() const { return {}; }
  // Of the weights that were prepared, beside the model's own.
  virtual std::size_t weight_bytes() const { return 0; }

 private:
  std::vector<kernels::RowSampler> samplers_;  // one a thread
};

struct DecoderOptions {
  int64_t blocks = 0;    // of keys and values
  int64_t max_rows = 0;  // of a pass
  std::optional<kernels::WeightType> weights;  // nothing: the model's
};

// On the CPU by kernels/cpu_kernels.h; on a GPU by kernels/cuda, where the build has them and they do the model's shapes;
// else, and in float64, by LibTorch's operators. The last two take the weights as the model has them: Error if `options`
// wants others.
std::unique_ptr<Decoder> MakeDecoder(const PhiModel& model, const DecoderOptions& options);
// Bytes of an element of keys and values, as that decoder has them.
int64_t KvElementBytes(const PhiModel& model);

}  // namespace pivotal::model
