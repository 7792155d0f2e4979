// Apache-2.0.
#include "model/tensor_decoder.h"

#include <ATen/TensorOperators.h>

#include <algorithm>

#include "model/to_device.h"

namespace pivotal::model {
namespace {

// Elements of keys that are gathered at once, at most: rows are many in a prefill.
constexpr int64_t kGathered = int64_t{64} << 20;

}  // namespace

class TensorDecoder::Paged : public Past {
 public:
  // Rows are filled up to `longest` tokens.
  Paged(TensorDecoder& decoder, std::span<const DecodeRow> rows, int64_t longest) : decoder_(decoder) {
    std::vector<int64_t> places, index;
    for (const DecodeRow& row : rows) {
      places.push_back(decoder.kv_.Place(row));
      for (const kernels::KvPiece& piece : row.pieces)
        for (int32_t i = 0; i < piece.count; ++i)
          index.push_back(piece.blocks[i / kernels::kBlockTokens] * kernels::kBlockTokens + i % kernels::kBlockTokens);
      index.resize(places.size() * static_cast<std::size_t>(longest), decoder.kv_.nowhere());
    }
    const auto device = decoder.kv_.keys.front().device();
    places_ = ToDevice(places, device);
    index_ = ToDevice(index, device);
  }

  void Write(int64_t layer, const at::Tensor& keys, const at::Tensor& values, const at::Tensor&) override {
    decoder_.kv_.Write(layer, places_, keys, values);
  }
  at::Tensor Keys(int64_t layer, int64_t rows, int64_t length) const override {
    return Gather(decoder_.kv_.keys[layer], rows, length);
  }
  at::Tensor Values(int64_t layer, int64_t rows, int64_t length) const override {
    return Gather(decoder_.kv_.values[layer], rows, length);
  }

 private:
  at::Tensor Gather(const at::Tensor& blocks, int64_t rows, int64_t length) const {
    return blocks.index_select(0, index_).view({rows, length, blocks.size(1), blocks.size(2)});
  }

  TensorDecoder& decoder_;
  at::Tensor places_;  // [B]
  at::Tensor index_;   // [B * longest]
};

TensorDecoder::TensorDecoder(const PhiModel& model, const DecoderOptions& options)
    : model_(model), kv_(model, options.blocks) {}

at::Tensor TensorDecoder::Hidden(std::span<const DecodeRow> rows) {
  std::vector<int64_t> tokens, positions, lengths;
  for (const DecodeRow& row : rows) {
    tokens.push_back(row.token);
    positions.push_back(row.position);
    const int64_t least = row.is_long ? model_.config().rope.original_length + 1 : 0;
    lengths.push_back(std::max(least, row.position + 1));
  }
  const auto device = model_.options().device();
  const auto column = [&](const std::vector<int64_t>& values) {
    return ToDevice(values, device).unsqueeze(1);
  };
  Paged past(*this, rows, *std::ranges::max_element(lengths));
  return model_.Hidden(column(tokens), column(positions), lengths, past).select(1, 0);
}

void TensorDecoder::Prefill(std::span<const DecodeRow> rows) {
  // Rows read one another within a pass only if those before are in it or done: pieces keep their order.
  const int64_t width = model_.config().num_key_value_heads * model_.config().head_dim;
  while (!rows.empty()) {
    std::size_t count = 1;
    int64_t longest = rows[0].position + 1;
    while (count < rows.size()) {
      longest = std::max(longest, rows[count].position + 1);
      if (static_cast<int64_t>(count + 1) * longest * width > kGathered) break;
      ++count;
    }
    Hidden(rows.first(count));
    rows = rows.subspan(count);
  }
}

void TensorDecoder::Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) {
  if (rows.empty()) return;
  GiveRows(model_.Logits(Hidden(rows)), 0, std::ssize(rows), on_logits);
}

}  // namespace pivotal::model
