// Apache-2.0. Decoding by LibTorch's operators, on any device and in any type.
#pragma once

#include "model/decoder.h"
#include "model/kv_tensors.h"

namespace pivotal::model {

// The model must outlive it. Keys and values of a row's past are gathered from their blocks in each pass.
class TensorDecoder : public Decoder {
 public:
  TensorDecoder(const PhiModel& model, const DecoderOptions& options);

  void Prefill(std::span<const DecodeRow> rows) override;
  void Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) override;
  int threads() const override { return 1; }

 private:
  class Paged;
  at::Tensor Hidden(std::span<const DecodeRow> rows);

  const PhiModel& model_;
  KvTensors kv_;
};

}  // namespace pivotal::model
