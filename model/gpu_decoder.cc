// Apache-2.0.
#include "model/gpu_decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "data/base/error.h"
#include "kernels/cuda/layer_parts.h"
#include "kernels/cuda/sample_rows.h"
#include "model/phi_model.h"
#include "model/prefill_plan.h"

namespace pivotal::model {
namespace {

using kernels::ElementType;

// Tokens of a tile. A prefill uses tiles of a quarter of its longest row, if longer.
constexpr int64_t kTileTokens = 256;
// Tokens of a span: the fewer there are, the more warps work, and the more has to be merged.
constexpr int64_t kLeastSpan = 32, kMostSpan = 128;
constexpr int64_t kWantedWarps = 2048;  // 16 on each of some 130 multiprocessors
constexpr int64_t kRoom = 1 << 14;      // initial elements of arrays that grow

ElementType TypeOf(at::ScalarType type) {
  return type == at::kFloat  ? ElementType::kFloat32
         : type == at::kHalf ? ElementType::kFloat16
                             : ElementType::kBfloat16;
}

// Returns the fewest tokens of a span that make no more warps than wanted.
int64_t SpanTokens(std::span<const DecodeRow> rows, int64_t kv_heads) {
  int64_t tokens = 0, span = kLeastSpan;
  for (const DecodeRow& row : rows) tokens += row.position + 1;
  while (span < kMostSpan && tokens * kv_heads > kWantedWarps * span) span *= 2;
  return span;
}

int64_t RoundedUp(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Rounds up to few sizes, since each is recorded. From 64 rows on, at most an eighth is idle.
int64_t PaddedRows(int64_t rows) {
  if (rows <= 8) return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(rows)));
  return RoundedUp(
      rows,
      std::max<int64_t>(8, static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows))) / 8));
}

// Rounds up the number of spans or tiles, to sizes a quarter apart. None stay none.
int64_t PaddedWork(std::size_t count) {
  const auto step = static_cast<int64_t>(std::bit_floor(count) / 4);
  return RoundedUp(static_cast<int64_t>(count), std::max<int64_t>(16, step));
}

// Phi-3 and Phi-4, and what is built like them.
bool HasFusedLayers(const PhiConfig& config) {
  return config.norm == PhiConfig::Norm::kRms && config.qkv == PhiConfig::Qkv::kFused &&
         config.mlp == PhiConfig::Mlp::kSwiGlu && !config.parallel;
}

bool Same(const SamplingParams& a, const SamplingParams& b) {
  return a.temperature == b.temperature && a.top_k == b.top_k && a.top_p == b.top_p &&
         a.min_p == b.min_p;
}

}  // namespace

bool StepBuffer::Grow(std::span<const int64_t> sizes) {
  bool grows = false;
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    if (sizes[i] <= arrays_[i].capacity) continue;
    arrays_[i].capacity = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(sizes[i])));
    grows = true;
  }
  if (!grows) return false;
  std::size_t bytes = 0;
  for (Array& array : arrays_) {
    array.offset = bytes;
    bytes += (static_cast<std::size_t>(array.capacity) * array.element + 63) / 64 * 64;
  }
  const auto options = at::TensorOptions(at::kByte);
  for (at::Tensor& host : host_)
    host = at::empty({static_cast<int64_t>(bytes)}, options.pinned_memory(!device_.is_cpu()));
  copy_ = at::empty({static_cast<int64_t>(bytes)}, options.device(device_));
  return true;
}

at::Tensor StepBuffer::tensor(int array, at::ScalarType type, int64_t size) const {
  const Array& declared = arrays_[static_cast<std::size_t>(array)];
  const auto bytes = size * static_cast<int64_t>(declared.element);
  return copy_.narrow(0, static_cast<int64_t>(declared.offset), bytes).view(type);
}

void StepBuffer::Turn() {
  turn_ = 1 - turn_;
  if (transfers_[turn_]) transfers_[turn_]->Wait();
  transfers_[turn_].reset();
}

void StepBuffer::Upload() {
  copy_.copy_(host_[turn_], /*non_blocking=*/true);
  transfers_[turn_] = stream_.Mark();
}

bool GpuDecoder::Supports(const PhiModel& model) {
  const PhiConfig& config = model.config();
  const auto type = c10::typeMetaToScalarType(model.options().dtype());
  return (type == at::kFloat || type == at::kBFloat16 || type == at::kHalf) &&
         config.block_sparse.block == 0 && config.head_dim <= kernels::cuda::kMaxHeadDim &&
         config.vocab_size <= kernels::cuda::kMaxVocab;
}

GpuDecoder::GpuDecoder(const PhiModel& model, const DecoderOptions& options,
                       std::unique_ptr<DeviceStream> stream, RaggedKernel flash)
    : model_(model),
      stream_(std::move(stream)),
      type_(TypeOf(c10::typeMetaToScalarType(model.options().dtype()))),
      fused_(HasFusedLayers(model.config())),
      records_(model.config().mlp != PhiConfig::Mlp::kExperts),
      flash_(std::move(flash)),
      shape_(AttentionShapeOf(model.config())),
      inputs_(model.options().device(), *stream_) {
  if (options.timed) clock_ = std::make_unique<StepClock>(*stream_);
  const PhiConfig& config = model.config();
  tokens_ = inputs_.Add<int64_t>();
  positions_ = inputs_.Add<int64_t>();
  slots_ = inputs_.Add<int64_t>();
  is_long_ = inputs_.Add<bool>();
  uniforms_ = inputs_.Add<double>();
  spans_ = inputs_.Add<kernels::cuda::AttentionSpan>();
  tiles_ = inputs_.Add<kernels::cuda::AttentionTile>();
  num_work_ = inputs_.Add<int32_t>();
  blocks_ = inputs_.Add<int32_t>();
  counts_ = inputs_.Add<int32_t>();
  lengths_ = inputs_.Add<int32_t>();
  part_ends_ = inputs_.Add<int32_t>();
  stream_->Run([&] {
    kv_.emplace(model, options.blocks);
    const auto bits = at::TensorOptions(at::kInt);
    for (at::Tensor& drawn : drawn_)
      drawn = at::zeros({2, options.max_rows}, bits.device(model.options().device()));
    for (at::Tensor& drawn : drawn_on_host_)
      drawn =
          at::zeros({2, options.max_rows}, bits.pinned_memory(!model.options().device().is_cpu()));
    const int64_t rows = PaddedRows(options.max_rows);
    logits_ = at::empty({rows, config.vocab_size}, model.options().dtype(at::kFloat));
    const int64_t inputs = std::max(rows, options.max_prefill);
    const int64_t more = std::max(kRoom, 4 * inputs);
    Reserve({inputs, inputs, inputs, inputs, inputs, more, more, 2, more, more, inputs, inputs + 1},
            inputs, inputs);
  });
}

void GpuDecoder::Prefill(std::span<const DecodeRow> rows) {
  if (rows.empty()) return;
  stream_->Run([&] {
    prefill_.reset();
    if (const auto plan = flash_ ? PlanPrefill(rows) : std::nullopt)
      prefill_.emplace(*plan, double{shape_.scale}, shape_.window, model_.options().device(),
                       flash_);
    int64_t longest = 0;
    for (const DecodeRow& row : rows) longest = std::max(longest, row.position + 1);
    Fill(rows, std::ssize(rows), {}, std::max(kTileTokens, RoundedUp(longest / 4, kTileTokens)));
    Hidden({std::ssize(rows), std::ssize(plan_.spans), std::ssize(plan_.tiles)});
    if (clock_) clock_->End(0);
  });
}

void GpuDecoder::Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) {
  Draw(rows, {}, on_logits);
}

void GpuDecoder::Draw(std::span<const DecodeRow> rows, std::span<RowDraw> draws,
                      const OnLogits& on_logits) {
  Start(rows, draws, on_logits);
  Finish();
}

void GpuDecoder::Start(std::span<const DecodeRow> rows, std::span<RowDraw> draws,
                       const OnLogits& on_logits) {
  const auto count = std::ssize(rows), drawn = std::ssize(draws);
  const int32_t* const before = drawn_[latest_].const_data_ptr<int32_t>();
  latest_ = 1 - latest_;
  Flight flight = {draws, &on_logits, latest_, {}, nullptr};
  prefill_.reset();
  stream_->Run([&] {
    if (rows.empty()) return;
    const bool is_step = drawn > 0;  // calls without draws rarely repeat their size
    const int64_t padded = is_step ? PaddedRows(count) : count;
    Fill(rows, padded, draws, kTileTokens);
    if (std::ranges::any_of(rows, [](const DecodeRow& row) { return row.token < 0; }))
      kernels::cuda::LaunchTakeDrawn(
          {.rows = count, .tokens = inputs_.mutable_device<int64_t>(tokens_), .drawn = before},
          stream_->handle());
    const StepSize size = {padded, PaddedWork(plan_.spans.size()), PaddedWork(plan_.tiles.size())};
    is_step ? RunStep(size) : Logits(size);
    const int64_t vocab = logits_.size(1);
    at::Tensor& results = drawn_[latest_];
    int32_t* const tokens = results.mutable_data_ptr<int32_t>();
    for (int64_t first = 0, end = 0; first < drawn; first = end) {
      while (end < drawn && Same(*draws[end].params, *draws[first].params)) ++end;
      kernels::cuda::SampleRowsTask task;
      task.logits = logits_.const_data_ptr<float>() + first * vocab;
      task.rows = end - first;
      task.vocab = task.stride = vocab;
      task.params = *draws[first].params;
      task.uniforms = inputs_.device<double>(uniforms_) + first;
      task.tokens = tokens + first;
      task.logprobs = reinterpret_cast<float*>(tokens + results.size(1)) + first;
      kernels::cuda::LaunchSampleRows(task, stream_->handle());
    }
    if (drawn > 0) drawn_on_host_[latest_].copy_(results, /*non_blocking=*/true);
    if (drawn < count) {  // the next step overwrites the logits
      const bool locked = is_step && !logits_.device().is_cpu();
      flight.logits =
          at::empty({count - drawn, vocab}, at::TensorOptions(at::kFloat).pinned_memory(locked));
      flight.logits.copy_(logits_.slice(0, drawn, count), /*non_blocking=*/locked);
    }
    if (clock_) clock_->End(drawn);
    flight.done = stream_->Mark();
  });
  flights_.push_back(std::move(flight));
}

void GpuDecoder::Finish() {
  const Flight flight = std::move(flights_.front());
  flights_.pop_front();
  if (flight.done) flight.done->Wait();
  const at::Tensor& host = drawn_on_host_[flight.buffer];
  const int32_t* const results = host.const_data_ptr<int32_t>();
  const auto drawn = std::ssize(flight.draws);
  for (int64_t i = 0; i < drawn; ++i) {
    flight.draws[i].result.token = results[i];
    std::memcpy(&flight.draws[i].result.logprob, results + host.size(1) + i, sizeof(float));
    if (results[i] < 0) Fail("sampling: a row of logits with NaN, +inf or only -inf");
  }
  if (flight.logits.defined()) GiveRows(flight.logits, drawn, *flight.on_logits);
}

void GpuDecoder::Abandon() {
  if (flights_.empty()) return;
  stream_->Wait();
  flights_.clear();
}

std::optional<DeviceTimes> GpuDecoder::device_times() const {
  if (!clock_) return {};
  const DeviceTimes& times = clock_->Times();
  if (times.steps == 0) return {};
  return times;
}

void GpuDecoder::Reserve(const std::array<int64_t, kInputs>& sizes, int64_t rows, int64_t parts) {
  bool moved = inputs_.Grow(sizes);
  const auto grow = [&](at::Tensor& tensor, at::ScalarType type, int64_t size) {
    if (tensor.defined() && tensor.numel() >= size) return;
    tensor = at::zeros({static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size)))},
                       at::TensorOptions(type).device(model_.options().device()));
    moved = true;
  };
  grow(workspace_, at::kFloat,
       parts * kernels::cuda::DecodeAttentionWorkspace(shape_.heads, shape_.head_dim));
  grow(arrived_, at::kInt, rows * shape_.heads);
  if (!moved || steps_.empty()) return;
  stream_->Wait();  // a recording may be running
  steps_.clear();   // they read the old addresses
}

void GpuDecoder::Fill(std::span<const DecodeRow> rows, int64_t padded,
                      std::span<const RowDraw> draws, int64_t tile_tokens) {
  pieces_.assign(prefill_ ? 0 : static_cast<std::size_t>(padded), {});
  for (std::size_t i = 0; i < rows.size() && !prefill_; ++i) pieces_[i] = rows[i].pieces;
  plan_.Make(pieces_, {.group = shape_.group(),
                       .window = shape_.window,
                       .tiles = type_ != ElementType::kFloat32,
                       .tile_tokens = tile_tokens,
                       .span_tokens = SpanTokens(rows, shape_.kv_heads)});
  Reserve({padded, padded, padded, padded, padded, PaddedWork(plan_.spans.size()),
           PaddedWork(plan_.tiles.size()), 2, std::ssize(plan_.blocks), std::ssize(plan_.counts),
           padded, padded + 1},
          padded, plan_.parts());
  inputs_.Turn();
  auto* const tokens = inputs_.host<int64_t>(tokens_);
  auto* const positions = inputs_.host<int64_t>(positions_);
  auto* const slots = inputs_.host<int64_t>(slots_);
  auto* const is_long = inputs_.host<bool>(is_long_);
  for (int64_t i = 0; i < padded; ++i) {
    const DecodeRow& row = i < std::ssize(rows) ? rows[i] : DecodeRow{0, 0, false, {}};
    tokens[i] = row.token;
    positions[i] = row.position;
    slots[i] = kv_->SlotOf(row);
    is_long[i] = row.is_long;
  }
  std::ranges::transform(draws, inputs_.host<double>(uniforms_), &RowDraw::uniform);
  std::ranges::copy(plan_.spans, inputs_.host<kernels::cuda::AttentionSpan>(spans_));
  std::ranges::copy(plan_.tiles, inputs_.host<kernels::cuda::AttentionTile>(tiles_));
  inputs_.host<int32_t>(num_work_)[0] = static_cast<int32_t>(plan_.spans.size());
  inputs_.host<int32_t>(num_work_)[1] = static_cast<int32_t>(plan_.tiles.size());
  std::ranges::copy(plan_.blocks, inputs_.host<int32_t>(blocks_));
  std::ranges::copy(plan_.counts, inputs_.host<int32_t>(counts_));
  std::ranges::copy(plan_.lengths, inputs_.host<int32_t>(lengths_));
  std::ranges::copy(plan_.part_ends, inputs_.host<int32_t>(part_ends_));
  if (clock_) clock_->Begin();
  inputs_.Upload();
}

at::Tensor GpuDecoder::Hidden(const StepSize& size) {
  const at::Tensor tokens = inputs_.tensor(tokens_, at::kLong, size.rows);
  const at::Tensor positions = inputs_.tensor(positions_, at::kLong, size.rows).unsqueeze(1);
  const bool has_long = model_.config().rope.original_length > 0;
  const RopeAngles angles = model_.rope().Angles(
      positions, has_long ? inputs_.tensor(is_long_, at::kBool, size.rows) : at::Tensor());
  if (fused_) return FusedHidden(tokens, angles, size);
  const at::Tensor slots = inputs_.tensor(slots_, at::kLong, size.rows);
  return model_
      .Hidden(tokens.unsqueeze(1), angles,
              [&](int64_t layer, const at::Tensor& query, const at::Tensor& key,
                  const at::Tensor& value) {
                kv_->Write(layer, slots, key, value);
                return Attend(layer, query.contiguous().squeeze(1), size).unsqueeze(1);
              })
      .select(1, 0);
}

at::Tensor GpuDecoder::FusedHidden(const at::Tensor& tokens, const RopeAngles& angles,
                                   const StepSize& size) {
  const PhiConfig& config = model_.config();
  const Weights& weights = model_.weights();
  at::Tensor x = at::embedding(weights.embedding, tokens);
  if (config.embedding_multiplier != 1.0) x = x * config.embedding_multiplier;
  const at::Tensor cos = angles.cos.contiguous(), sin = angles.sin.contiguous();
  const auto add_and_norm = [&](const at::Tensor& update, const Norm& norm) {
    const at::Tensor out = at::empty_like(x);
    kernels::cuda::LaunchAddAndNorm({.type = type_,
                                     .rows = size.rows,
                                     .size = config.hidden_size,
                                     .epsilon = static_cast<float>(config.norm_eps),
                                     .x = x.mutable_data_ptr(),
                                     .update = update.defined() ? update.const_data_ptr() : nullptr,
                                     .weight = norm.weight.const_data_ptr(),
                                     .out = out.mutable_data_ptr()},
                                    stream_->handle());
    return out;
  };
  at::Tensor normed = add_and_norm({}, weights.layers.front().input_norm);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const LayerWeights& layer = weights.layers[static_cast<std::size_t>(i)];
    const at::Tensor qkv = Apply(layer.qkv, normed);
    const at::Tensor query = at::empty({size.rows, shape_.heads, shape_.head_dim}, x.options());
    kernels::cuda::LaunchRotateAndStore({.type = type_,
                                         .rows = size.rows,
                                         .heads = shape_.heads,
                                         .kv_heads = shape_.kv_heads,
                                         .head_dim = shape_.head_dim,
                                         .rotary_dim = config.rotary_dim(),
                                         .qkv = qkv.const_data_ptr(),
                                         .cos = cos.const_data_ptr(),
                                         .sin = sin.const_data_ptr(),
                                         .slots = inputs_.device<int64_t>(slots_),
                                         .unused_slot = kv_->spare_slot(),
                                         .queries = query.mutable_data_ptr(),
                                         .keys = kv_->keys[i].mutable_data_ptr(),
                                         .values = kv_->values[i].mutable_data_ptr()},
                                        stream_->handle());
    normed = add_and_norm(Apply(layer.output, Attend(i, query, size)), layer.post_norm);
    const at::Tensor up = Apply(layer.up, normed);
    const at::Tensor gated = at::empty({size.rows, config.intermediate_size}, x.options());
    kernels::cuda::LaunchSwiGlu({.type = type_,
                                 .rows = size.rows,
                                 .size = config.intermediate_size,
                                 .x = up.const_data_ptr(),
                                 .out = gated.mutable_data_ptr()},
                                stream_->handle());
    const bool is_last = i + 1 == config.num_hidden_layers;
    normed = add_and_norm(Apply(layer.down, gated),
                          is_last ? weights.final_norm : weights.layers[i + 1].input_norm);
  }
  return normed;
}

at::Tensor GpuDecoder::Attend(int64_t layer, const at::Tensor& query, const StepSize& size) {
  if (prefill_) return (*prefill_)(query, kv_->keys[layer], kv_->values[layer]);
  const at::Tensor out = at::empty({size.rows, shape_.heads * shape_.head_dim}, query.options());
  kernels::cuda::DecodeAttention task;
  task.type = type_;
  task.rows = size.rows;
  task.heads = shape_.heads;
  task.kv_heads = shape_.kv_heads;
  task.head_dim = shape_.head_dim;
  task.scale = shape_.scale;
  task.window = shape_.window;
  task.queries = query.const_data_ptr();
  task.keys = kv_->keys[layer].const_data_ptr();
  task.values = kv_->values[layer].const_data_ptr();
  task.out = out.mutable_data_ptr();
  task.spans = inputs_.device<kernels::cuda::AttentionSpan>(spans_);
  task.tiles = inputs_.device<kernels::cuda::AttentionTile>(tiles_);
  task.num_work = inputs_.device<int32_t>(num_work_);
  task.max_spans = size.spans;
  task.max_tiles = size.tiles;
  task.blocks = inputs_.device<int32_t>(blocks_);
  task.counts = inputs_.device<int32_t>(counts_);
  task.lengths = inputs_.device<int32_t>(lengths_);
  task.part_ends = inputs_.device<int32_t>(part_ends_);
  task.workspace = workspace_.mutable_data_ptr<float>();
  task.arrived = reinterpret_cast<unsigned*>(arrived_.mutable_data_ptr<int32_t>());
  kernels::cuda::LaunchDecodeAttention(task, stream_->handle());
  return out;
}

void GpuDecoder::Logits(const StepSize& size) {
  logits_.narrow(0, 0, size.rows).copy_(model_.Logits(Hidden(size)));
}

void GpuDecoder::RunStep(const StepSize& size) {
  Step& step = steps_[size];
  // The first step is not recorded: libraries allocate workspaces in it, which can't be recorded.
  if (step.recording == nullptr && records_ && step.done > 0) {
    step.recording = stream_->Record([this, size] { Logits(size); });
    records_ = step.recording != nullptr;
  }
  ++step.done;
  if (step.recording == nullptr) {
    Logits(size);
  } else {
    step.recording->Replay();
  }
}

}  // namespace pivotal::model
