// Apache-2.0.
#include "model/cpu_decoder.h"

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/stack.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <new>

#include "data/base/error.h"
#include "model/phi_model.h"

namespace pivotal::model {
namespace {

// With at least this many rows a thread, each thread computes its own rows; fewer suffice if all
// weights fit in the caches, since each thread then reads all of them.
constexpr int64_t kRowsToSplit = 12, kRowsToSplitInCache = 2;
constexpr int64_t kCacheBytes = int64_t{16} << 20;
// Weights times rows from which several threads are worth their barriers.
constexpr int64_t kWorkForTeam = int64_t{1} << 22;
constexpr int64_t kLogits = int64_t{4} << 20;  // logits that one thread holds at once

int64_t Padded(int64_t size) { return (size + 15) / 16 * 16; }

kernels::ActivationTask ActivationOf(const PhiConfig& config) {
  const auto limit = static_cast<float>(config.gegelu_limit);
  switch (config.mlp) {
    case PhiConfig::Mlp::kGelu:
      return {kernels::Activation::kGelu, config.intermediate_size, limit};
    case PhiConfig::Mlp::kGegelu:
      return {kernels::Activation::kGegelu, config.intermediate_size, limit};
    default: return {kernels::Activation::kSwiGlu, config.intermediate_size, limit};
  }
}

template <typename T>
void CopyRow(const at::Tensor& table, int64_t row, float multiplier, float* out) {
  const T* from = table.const_data_ptr<T>() + row * table.size(1);
  for (int64_t i = 0; i < table.size(1); ++i) out[i] = static_cast<float>(from[i]) * multiplier;
}

// Chooses the expert with the highest of `scores` except `taken`. Its weight is its softmax among
// the experts whose relative distance from it is at most twice `jitter`, as in layers.cc.
std::pair<int32_t, float> BestExpert(const float* scores, int32_t experts, int32_t taken,
                                     double jitter) {
  int32_t best = taken == 0 ? 1 : 0;
  for (int32_t i = 0; i < experts; ++i)
    if (i != taken && scores[i] > scores[best]) best = i;
  double sum = 0;
  for (int32_t i = 0; i < experts; ++i) {
    if (i == taken) continue;
    const float distance =
        (scores[best] - scores[i]) / std::max(std::fabs(scores[i]), scores[best]);
    if (!(distance > 2 * jitter)) sum += std::exp(static_cast<double>(scores[i]) - scores[best]);
  }
  return {best, static_cast<float>(1.0 / sum)};
}

}  // namespace

// The keys and values of all blocks. The system provides a page when it is first written. Pages are
// huge where possible, because the blocks of a sequence lie far apart.
class CpuDecoder::KvMemory {
 public:
  KvMemory(const kernels::AttentionShape& shape, int64_t layers, int64_t blocks) {
    const int64_t layer = blocks * shape.block_size();
    bytes_ = static_cast<std::size_t>(std::max<int64_t>(1, layers * layer)) * sizeof(float);
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    madvise(memory, bytes_, MADV_HUGEPAGE);
    memory_ = static_cast<float*>(memory);
    for (int64_t i = 0; i < layers; ++i) layers_.push_back({&shape, memory_ + i * layer});
  }
  ~KvMemory() { munmap(memory_, bytes_); }
  KvMemory(const KvMemory&) = delete;
  KvMemory& operator=(const KvMemory&) = delete;

  const kernels::KvLayer& layer(int64_t i) const { return layers_[i]; }

 private:
  float* memory_;
  std::size_t bytes_;
  std::vector<kernels::KvLayer> layers_;
};

CpuDecoder::Buffer::Buffer(int64_t rows, int64_t row_stride)
    : data(kernels::AllocateFloats(static_cast<std::size_t>(rows * row_stride))),
      stride(row_stride) {}

bool CpuDecoder::Supports(const PhiModel& model) {
  return model.options().device().is_cpu() && model.options().dtype() != at::kDouble;
}

CpuDecoder::CpuDecoder(const PhiModel& model, const DecoderOptions& options)
    : config_(model.config()),
      shape_(AttentionShapeOf(config_)),
      activation_(ActivationOf(config_)),
      rope_(config_, at::TensorOptions(at::kFloat)),
      team_(at::get_num_threads()),
      weights_(Pack(model.weights(), config_,
                    options.weights.value_or(
                        WeightTypeOf(c10::typeMetaToScalarType(model.options().dtype()))),
                    team_)),
      weight_bytes_(weights_.bytes()),
      kv_(std::make_unique<KvMemory>(shape_, config_.num_hidden_layers, options.blocks)),
      max_rows_(std::max(options.max_rows, options.max_prefill)) {
  const PhiConfig& c = config_;
  const int64_t heads = c.num_attention_heads + 2 * c.num_key_value_heads;
  const bool experts = c.mlp == PhiConfig::Mlp::kExperts;
  x_ = Buffer(max_rows_, Padded(c.hidden_size));
  normed_ = Buffer(max_rows_, Padded(c.hidden_size));
  qkv_ = Buffer(max_rows_, Padded(heads * c.head_dim));
  attended_ = Buffer(max_rows_, Padded(c.num_attention_heads * c.head_dim));
  up_ = Buffer(max_rows_,
               Padded((c.mlp == PhiConfig::Mlp::kGelu ? 1 : 2) * c.intermediate_size) + 16);
  if (experts) {
    routed_ = Buffer(max_rows_, Padded(c.hidden_size));
    expert_ = Buffer(max_rows_, Padded(std::max(c.hidden_size, c.num_experts)));
  }
  const int64_t vocab = Padded(c.vocab_size);
  logit_rows_ = std::clamp<int64_t>(kLogits / vocab, 8, 96);
  logits_ = Buffer(std::min(logit_rows_ * team_.size(), max_rows_ + team_.size()), vocab);
  scratch_.resize(static_cast<std::size_t>(team_.size()));
  for (Scratch& scratch : scratch_)
    scratch.update.resize(static_cast<std::size_t>(max_rows_ * weights_.update_width()));
}

CpuDecoder::~CpuDecoder() = default;

// The work of one thread in one pass.
class CpuDecoder::Pass {
 public:
  // Thread `rank` of `size`. It computes its own rows alone if `split_rows`, else a part of each
  // product.
  Pass(CpuDecoder& decoder, std::span<const DecodeRow> rows, const OnLogits* on_logits, int rank,
       int size, bool split_rows)
      : d_(decoder),
        k_(decoder.kernels_),
        c_(decoder.config_),
        rows_(rows),
        on_logits_(on_logits),
        scratch_(decoder.scratch_[rank]),
        rank_(rank),
        size_(size),
        split_rows_(split_rows),
        own_rows_(kernels::PartOf(std::ssize(rows), rank, size)) {}

  void Run() {
    ForOwnRows([&](int64_t i) { Embed(i); });
    for (int64_t layer = 0; layer < c_.num_hidden_layers; ++layer) Layer(layer);
    if (on_logits_ != nullptr) Logits();
    Lap(&PassTimes::rest);
  }

 private:
  // Calls f(i) for this thread's rows.
  template <typename F>
  void ForOwnRows(F f) const {
    for (int64_t i = own_rows_.first; i < own_rows_.last; ++i) f(i);
  }
  // Waits for the other threads, unless this thread computes its rows alone.
  void Sync() const {
    if (!split_rows_) d_.team_.Barrier();
  }
  // Adds the time since the last call to `bucket`.
  void Lap(double PassTimes::*bucket) {
    const auto now = std::chrono::steady_clock::now();
    scratch_.times.*bucket += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

  // Computes out (+)= in W^T + bias for this thread's rows, or for its panels of all rows.
  void Product(const PackedLinear& w, const Buffer& in, const Buffer& out, bool add) {
    const auto panels = split_rows_ ? kernels::Part{0, w.matrix.panels()}
                                    : kernels::PartOf(w.matrix.panels(), rank_, size_);
    const auto rows = split_rows_ ? own_rows_ : kernels::Part{0, std::ssize(rows_)};
    Product(w, in.row(rows.first), in.stride, rows.last - rows.first, out.row(rows.first),
            out.stride, add, panels);
  }
  void Product(const PackedLinear& w, const float* in, int64_t in_stride, int64_t rows, float* out,
               int64_t out_stride, bool add, kernels::Part panels) {
    Lap(&PassTimes::rest);
    k_.matmul({in, in_stride, rows, &w.matrix, out, out_stride, add, panels.first, panels.last});
    if (const kernels::PackedMatrix& a = w.update_a; a.outputs() > 0) {
      // Threads that share rows compute the narrow product a each.
      float* const narrow = scratch_.update.data();
      const int64_t width = a.padded_outputs();
      k_.matmul({in, in_stride, rows, &a, narrow, width, false, 0, a.panels()});
      k_.matmul(
          {narrow, width, rows, &w.update_b, out, out_stride, true, panels.first, panels.last});
    }
    Lap(&PassTimes::products);
    Sync();
  }

  void Norm(const PackedNorm& norm) {
    ForOwnRows([&](int64_t i) { k_.norm(d_.x_.row(i), norm.task, d_.normed_.row(i)); });
    Sync();
  }

  void Embed(int64_t i) {
    const auto multiplier = static_cast<float>(c_.embedding_multiplier);
    const at::Tensor& table = d_.weights_.embedding;
    switch (table.scalar_type()) {
      case at::kBFloat16:
        return CopyRow<c10::BFloat16>(table, rows_[i].token, multiplier, d_.x_.row(i));
      case at::kHalf: return CopyRow<c10::Half>(table, rows_[i].token, multiplier, d_.x_.row(i));
      default: return CopyRow<float>(table, rows_[i].token, multiplier, d_.x_.row(i));
    }
  }

  void Layer(int64_t index) {
    const PackedLayer& layer = d_.weights_.layers[index];
    Norm(layer.input_norm);
    Product(layer.qkv, d_.normed_, d_.qkv_, false);
    ForOwnRows([&](int64_t i) { RotateAndStore(i, layer, d_.kv_->layer(index)); });
    if (split_rows_ && size_ > 1 && on_logits_ == nullptr)
      d_.team_.Barrier();  // rows of other threads attend to these
    Sync();
    Attend(index);
    Product(layer.output, d_.attended_, d_.x_, true);
    if (!c_.parallel) Norm(layer.post_norm);
    if (c_.mlp == PhiConfig::Mlp::kExperts) return Experts(layer);
    Product(layer.mlp.up, d_.normed_, d_.up_, false);
    ForOwnRows([&](int64_t i) { k_.activate(d_.activation_, d_.up_.row(i)); });
    Sync();
    Product(layer.mlp.down, d_.up_, d_.x_, true);
  }

  // Rotates the queries and keys of a row, and stores its keys and values.
  void RotateAndStore(int64_t i, const PackedLayer& layer, const kernels::KvLayer& kv) {
    const DecodeRow& row = rows_[i];
    const int64_t dim = c_.head_dim, half = c_.rotary_dim() / 2, padded = d_.shape_.padded_dim();
    const float *cos = d_.Angles(row), *sin = cos + half;
    float* head = d_.qkv_.row(i);
    const int64_t keys_at = c_.num_attention_heads, values_at = keys_at + c_.num_key_value_heads;
    for (int64_t h = 0; h < values_at; ++h) {
      const PackedNorm& norm = h < keys_at ? layer.query_norm : layer.key_norm;
      if (norm.weight) k_.norm(head + h * dim, norm.task, head + h * dim);
      k_.rotate(head + h * dim, cos, sin, half);
    }
    if (row.block < 0) return;
    for (int64_t h = 0; h < c_.num_key_value_heads; ++h) {
      const float* key = head + (keys_at + h) * dim;
      float* keys = kv.keys(row.block, h) + row.offset;
      for (int64_t d = 0; d < dim; ++d) keys[d * kernels::kBlockTokens] = key[d];
      std::copy_n(head + (values_at + h) * dim, dim, kv.values(row.block, h) + row.offset * padded);
    }
  }

  void Attend(int64_t layer) {
    Lap(&PassTimes::rest);
    kernels::AttentionShape shape = d_.shape_;
    if (!c_.IsBlockSparse(layer)) shape.sparse_block = 0;
    const auto rows = split_rows_ ? own_rows_ : kernels::Part{0, std::ssize(rows_)};
    const int64_t most = std::max<int64_t>(1, kernels::kTileQueries / shape.group());
    kernels::AttentionRow tile[kernels::kTileQueries];
    int64_t turn = 0;  // threads take turns over tiles and heads
    for (int64_t first = rows.first; first < rows.last;) {
      int64_t count = 0;
      while (count < most && first + count < rows.last &&
             rows_[first + count].pieces[0].blocks == rows_[first].pieces[0].blocks) {
        const DecodeRow& row = rows_[first + count];
        tile[count] = {d_.qkv_.row(first + count), d_.attended_.row(first + count),
                       row.pieces.data(), static_cast<int32_t>(row.pieces.size()),
                       static_cast<int32_t>(row.position + 1)};
        ++count;
      }
      for (int64_t head = 0; head < shape.kv_heads; ++head) {
        if (!split_rows_ && turn++ % size_ != rank_) continue;
        k_.attend({&shape, &d_.kv_->layer(layer), tile, count, head, scratch_.attention.data()});
      }
      first += count;
    }
    Lap(&PassTimes::attention);
    Sync();
  }

  // Computes the MLP of this thread's rows, gathered by expert.
  void Experts(const PackedLayer& layer) {
    Product(layer.router, d_.normed_, d_.expert_, false);
    const auto experts = static_cast<int32_t>(layer.experts.size());
    std::vector<int32_t>& chosen = scratch_.expert_rows;
    std::vector<float>& weight = scratch_.expert_weights;
    chosen.clear();
    weight.clear();
    ForOwnRows([&](int64_t i) {
      const auto first = BestExpert(d_.expert_.row(i), experts, -1, c_.router_jitter);
      const auto second = BestExpert(d_.expert_.row(i), experts, first.first, c_.router_jitter);
      for (const auto& [expert, expert_weight] : {first, second}) {
        chosen.push_back(expert);
        weight.push_back(expert_weight);
      }
    });
    for (int32_t e = 0; e < experts; ++e) {
      int64_t count = 0;
      const auto for_rows = [&](auto f) {
        count = 0;
        for (std::size_t j = 0; j < chosen.size(); ++j)
          if (chosen[j] == e)
            f(own_rows_.first + static_cast<int64_t>(j / 2), own_rows_.first + count++, weight[j]);
      };
      for_rows([&](int64_t row, int64_t to, float) {
        std::copy_n(d_.normed_.row(row), c_.hidden_size, d_.routed_.row(to));
      });
      if (count == 0) continue;
      const PackedMlp& mlp = layer.experts[e];
      const auto product = [&](const PackedLinear& w, const Buffer& in, const Buffer& out) {
        Product(w, in.row(own_rows_.first), in.stride, count, out.row(own_rows_.first), out.stride,
                false, {0, w.matrix.panels()});
      };
      product(mlp.up, d_.routed_, d_.up_);
      for (int64_t i = 0; i < count; ++i)
        k_.activate(d_.activation_, d_.up_.row(own_rows_.first + i));
      product(mlp.down, d_.up_, d_.routed_);
      for_rows([&](int64_t row, int64_t from, float row_weight) {
        float *x = d_.x_.row(row), *y = d_.routed_.row(from);
        for (int64_t j = 0; j < c_.hidden_size; ++j) x[j] += row_weight * y[j];
      });
    }
  }

  void Logits() {
    Norm(d_.weights_.final_norm);
    const PackedLinear& head = d_.weights_.head;
    const auto panels = split_rows_ ? kernels::Part{0, head.matrix.panels()}
                                    : kernels::PartOf(head.matrix.panels(), rank_, size_);
    const auto rows = split_rows_ ? own_rows_ : kernels::Part{0, std::ssize(rows_)};
    const int64_t chunk =
        split_rows_ ? d_.logit_rows_ : std::min(d_.logit_rows_ * size_, d_.max_rows_);
    float* out =
        d_.logits_.row(split_rows_ ? std::min(d_.logit_rows_ * rank_, own_rows_.first) : 0);
    for (int64_t first = rows.first; first < rows.last; first += chunk) {
      const int64_t count = std::min(chunk, rows.last - first);
      Product(head, d_.normed_.row(first), d_.normed_.stride, count, out, d_.logits_.stride, false,
              panels);
      const auto part =
          split_rows_ ? kernels::Part{0, count} : kernels::PartOf(count, rank_, size_);
      for (int64_t i = part.first; i < part.last; ++i) Give(first + i, out + i * d_.logits_.stride);
      Lap(&PassTimes::sampling);
      Sync();
    }
  }

  void Give(int64_t row, float* logits) {
    const auto vocab = static_cast<std::size_t>(c_.vocab_size);
    if (c_.logit_divisor != 1.0) {
      const auto factor = static_cast<float>(1.0 / c_.logit_divisor);
      for (std::size_t i = 0; i < vocab; ++i) logits[i] *= factor;
    }
    for (int64_t token : c_.masked_tokens) logits[token] = -std::numeric_limits<float>::infinity();
    try {
      (*on_logits_)(row, rank_, {logits, vocab});
    } catch (...) {
      const std::lock_guard lock(d_.failure_lock_);
      if (!d_.failure_) d_.failure_ = std::current_exception();
    }
  }

  CpuDecoder& d_;
  const kernels::CpuKernels& k_;
  const PhiConfig& c_;
  std::span<const DecodeRow> rows_;
  const OnLogits* on_logits_;
  Scratch& scratch_;
  int rank_, size_;
  bool split_rows_;
  kernels::Part own_rows_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

const float* CpuDecoder::Angles(const DecodeRow& row) const {
  return angles_[row.is_long ? 1 : 0].data() + row.position * config_.rotary_dim();
}

void CpuDecoder::Prepare(std::span<const DecodeRow> rows) {
  if (std::ssize(rows) > max_rows_)
    Fail("a pass of {} rows, at most {} fit", rows.size(), max_rows_);
  int64_t longest[2] = {0, 0};
  for (const DecodeRow& row : rows) {
    int64_t& length = longest[row.is_long ? 1 : 0];
    length = std::max(length, row.position + 1);
  }
  const int64_t dim = config_.rotary_dim();
  for (const bool is_long : {false, true}) {
    std::vector<float>& table = angles_[is_long ? 1 : 0];
    const int64_t had = std::ssize(table) / dim,
                  needed = (longest[is_long ? 1 : 0] + 255) / 256 * 256;
    if (needed <= had) continue;
    const at::Tensor positions = at::arange(had, needed, at::TensorOptions(at::kLong)).unsqueeze(0);
    const int64_t length = is_long ? config_.rope.original_length + 1 : 1;
    const RopeAngles angles = rope_.Angles(positions, {&length, 1});
    const at::Tensor both =  // [T, 2, R/2]: the cosines, then the sines
        at::stack({angles.cos.narrow(-1, 0, dim / 2), angles.sin.narrow(-1, dim / 2, dim / 2)}, 2)
            .contiguous();
    table.insert(table.end(), both.const_data_ptr<float>(),
                 both.const_data_ptr<float>() + both.numel());
  }
  const auto size = static_cast<std::size_t>(
      kernels::AttentionWorkspace(shape_, (std::max(longest[0], longest[1]) + 255) / 256 * 256));
  for (Scratch& scratch : scratch_)
    if (scratch.attention.size() < size) scratch.attention.resize(size);
}

void CpuDecoder::Run(std::span<const DecodeRow> rows, const OnLogits* on_logits) {
  if (rows.empty()) return;
  Prepare(rows);
  const int64_t count = std::ssize(rows), size = team_.size();
  const auto bytes = static_cast<int64_t>(weight_bytes());
  const bool split_rows =
      config_.mlp == PhiConfig::Mlp::kExperts ||
      count >= (bytes <= kCacheBytes ? kRowsToSplitInCache : kRowsToSplit) * size;
  if (size == 1 || (!split_rows && bytes / 4 * count < kWorkForTeam)) {
    Pass(*this, rows, on_logits, 0, 1, true).Run();
  } else {
    team_.Run([&](int rank) {
      Pass(*this, rows, on_logits, rank, static_cast<int>(size), split_rows).Run();
    });
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void CpuDecoder::Prefill(std::span<const DecodeRow> rows) { Run(rows, nullptr); }

void CpuDecoder::Decode(std::span<const DecodeRow> rows, const OnLogits& on_logits) {
  Run(rows, &on_logits);
}

PassTimes CpuDecoder::times() const {
  PassTimes sum;
  for (const Scratch& scratch : scratch_) {
    sum.products += scratch.times.products;
    sum.attention += scratch.times.attention;
    sum.sampling += scratch.times.sampling;
    sum.rest += scratch.times.rest;
  }
  return sum;
}

}  // namespace pivotal::model
