// Apache-2.0.
#include "model/tensor_decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "model/attention.h"
#include "model/phi_model.h"
#include "model/tensor_transfer.h"

namespace pivotal::model {
namespace {

// A prefill of many rows is split so that each pass gathers at most this many numbers of keys.
constexpr int64_t kGathered = int64_t{64} << 20;

}  // namespace

KvTensors::KvTensors(const PhiModel& model, int64_t blocks) {
  const PhiConfig& config = model.config();
  const int64_t shape[] = {blocks * kernels::kBlockTokens + 1, config.num_key_value_heads,
                           config.head_dim};
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    keys.push_back(at::zeros(shape, model.options()));
    values.push_back(at::zeros(shape, model.options()));
  }
}

int64_t KvTensors::SlotOf(const DecodeRow& row) const {
  return row.block < 0 ? spare_slot() : row.block * kernels::kBlockTokens + row.offset;
}

void KvTensors::Write(int64_t layer, const at::Tensor& slots, const at::Tensor& key,
                      const at::Tensor& value) {
  keys[layer].index_copy_(0, slots, key.flatten(0, 1));
  values[layer].index_copy_(0, slots, value.flatten(0, 1));
}

void GiveRows(const at::Tensor& logits, int64_t first, const Decoder::OnLogits& on_logits) {
  const int64_t vocab = logits.size(1);
  for (int64_t i = 0; i < logits.size(0); ++i)
    on_logits(first + i, 0,
              {logits.mutable_data_ptr<float>() + i * vocab, static_cast<std::size_t>(vocab)});
}

TensorDecoder::TensorDecoder(const PhiModel& model, const DecoderOptions& options)
    : model_(model), kv_(model, options.blocks) {}

at::Tensor TensorDecoder::Hidden(std::span<const DecodeRow> rows) {
  const PhiConfig& config = model_.config();
  std::vector<int64_t> tokens, positions, lengths, slots;
  for (const DecodeRow& row : rows) {
    tokens.push_back(row.token);
    positions.push_back(row.position);
    const int64_t least = row.is_long ? config.rope.original_length + 1 : 0;
    lengths.push_back(std::max(least, row.position + 1));
    slots.push_back(kv_.SlotOf(row));
  }
  const int64_t longest = *std::ranges::max_element(lengths);
  std::vector<int64_t> past_slots;  // [B, longest], filled up with the spare slot
  for (std::size_t row = 0; row < rows.size(); ++row) {
    for (const kernels::KvPiece& piece : rows[row].pieces)
      for (int32_t i = 0; i < piece.count; ++i)
        past_slots.push_back(piece.blocks[i / kernels::kBlockTokens] * kernels::kBlockTokens +
                             i % kernels::kBlockTokens);
    past_slots.resize((row + 1) * static_cast<std::size_t>(longest), kv_.spare_slot());
  }
  const auto device = model_.options().device();
  const at::Tensor to = ToDevice(slots, device), from = ToDevice(past_slots, device);
  const at::Tensor position = ToDevice(positions, device).unsqueeze(1);
  const at::Tensor mask = CausalMask(config, position, longest);
  const at::Tensor sparse_mask =
      config.block_sparse.block > 0 ? BlockSparseMask(config, position, longest) : at::Tensor();
  const auto past = [&](const at::Tensor& kv) {
    return kv.index_select(0, from).view({std::ssize(rows), longest, kv.size(1), kv.size(2)});
  };
  return model_
      .Hidden(ToDevice(tokens, device).unsqueeze(1), model_.rope().Angles(position, lengths),
              [&](int64_t layer, const at::Tensor& query, const at::Tensor& key,
                  const at::Tensor& value) {
                kv_.Write(layer, to, key, value);
                return Attend(config, query, past(kv_.keys[layer]), past(kv_.values[layer]),
                              config.IsBlockSparse(layer) ? sparse_mask : mask);
              })
      .select(1, 0);
}

void TensorDecoder::Prefill(std::span<const DecodeRow> rows) {
  // A row reads only rows before it, so the rows are split in their order.
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
  // `on_logits` may overwrite the rows, so they are copied.
  GiveRows(model_.Logits(Hidden(rows))
               .to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true)
               .contiguous(),
           0, on_logits);
}

}  // namespace pivotal::model
