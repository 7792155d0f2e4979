// Apache-2.0.
#include "model/quantised_matrix.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "data/base/error.h"
#include "data/base/names.h"
#include "kernels/cpu_kernels.h"
#include "kernels/thread_team.h"
#ifdef PIVOTAL_CUDA_DECODER
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "kernels/cuda/quantised.h"
#endif

namespace pivotal::model {
namespace {

using kernels::ElementType;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kBaseWeights = data::MakeNameTable<BaseWeights>(
    "type of base weights",
    {{BaseWeights::kPlain, "auto"}, {BaseWeights::kNf4, "nf4"}, {BaseWeights::kInt8, "int8"}});

// Rows of a matrix in 8 bits that are numbers in float32 at once.
constexpr int64_t kRowsAtOnce = 256;
// Blocks of NF4 from which several threads are worth their start.
constexpr int64_t kBlocksForTeam = 1024;

ElementType ElementOf(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return ElementType::kFloat32;
    case at::kBFloat16: return ElementType::kBfloat16;
    case at::kHalf: return ElementType::kFloat16;
    default: Fail("weights in 4 or 8 bits compute in float32, bfloat16 or float16");
  }
}

}  // namespace

// What the matrices of a model share on a CPU: threads, for one caller at a time, and room for
// numbers.
class QuantisedMatrix::Team {
 public:
  // Returns a tensor [rows, columns], not initialized. The memory of the one before is taken again
  // once nobody holds that: new memory would have to be cleared by the system each time.
  at::Tensor Room(int64_t rows, int64_t columns, at::ScalarType type) {
    const std::lock_guard lock(room_mutex_);
    const auto bytes = rows * columns * static_cast<int64_t>(c10::elementSize(type));
    if (room_.defined() && room_.storage().use_count() > 1)
      return at::empty({rows, columns}, at::TensorOptions(type));
    if (!room_.defined() || room_.numel() < bytes) {
      const c10::InferenceMode plain(false);  // passes with gradients use it too
      room_.reset();
      room_ = at::empty({bytes}, at::TensorOptions(at::kByte));
    }
    return room_.narrow(0, 0, bytes).view(type).view({rows, columns});
  }
  // Calls f(first, last) for parts of `count` blocks.
  void ForBlocks(int64_t count, const std::function<void(int64_t, int64_t)>& f) {
    if (count < kBlocksForTeam || at::get_num_threads() == 1) return f(0, count);
    const std::lock_guard lock(mutex_);
    if (!threads_) threads_.emplace(at::get_num_threads());
    threads_->Run([&](int rank) {
      const auto [first, last] = kernels::PartOf(count, rank, threads_->size());
      f(first, last);
    });
  }

 private:
  std::mutex mutex_, room_mutex_;
  std::optional<kernels::ThreadTeam> threads_;
  at::Tensor room_;  // bytes
};

std::string_view BaseWeightsName(BaseWeights base) { return kBaseWeights.Name(base); }

BaseWeights ParseBaseWeights(const std::string& name) { return kBaseWeights.Parse(name); }

std::vector<std::string> BaseWeightsNames() { return kBaseWeights.Names(); }

int64_t MatrixBytes(BaseWeights base, int64_t rows, int64_t columns, int64_t element) {
  kernels::Nf4Codes nf4;
  nf4.size = rows * columns;
  switch (base) {
    case BaseWeights::kNf4: return (nf4.size + 1) / 2 + nf4.Blocks() + 4 * nf4.Groups();
    case BaseWeights::kInt8: return nf4.size + 4 * rows;
    default: return nf4.size * element;
  }
}

Quantiser::Quantiser(BaseWeights base, at::Device device)
    : base_(base), device_(device), team_(std::make_shared<QuantisedMatrix::Team>()) {
  const auto& map = kernels::MomentTablesOnCpu().first;
  const at::Tensor host = at::empty({256}, at::TensorOptions(at::kFloat));
  std::memcpy(host.mutable_data_ptr<float>(), map, sizeof(map));
  map_ = host.to(device);
}

std::shared_ptr<const QuantisedMatrix> Quantiser::operator()(const at::Tensor& weight) const {
  const std::shared_ptr<QuantisedMatrix> matrix(new QuantisedMatrix());
  matrix->format_ = base_;
  matrix->rows_ = weight.size(0);
  matrix->columns_ = weight.size(1);
  matrix->map_ = map_;
  matrix->team_ = team_;
  const at::Tensor whole = weight.detach().contiguous();
  if (base_ == BaseWeights::kNf4)
    matrix->QuantiseNf4(whole);
  else
    matrix->QuantiseInt8(whole);
  for (at::Tensor* tensor : {&matrix->codes_, &matrix->scales_, &matrix->group_scales_})
    if (tensor->defined()) *tensor = tensor->to(device_);
  return matrix;
}

void QuantisedMatrix::QuantiseNf4(const at::Tensor& weight) {
  kernels::Nf4Codes shape;
  shape.size = weight.numel();
  const auto bytes = at::TensorOptions(at::kByte), floats = at::TensorOptions(at::kFloat);
  codes_ = at::empty({(shape.size + 1) / 2}, bytes);
  scales_ = at::empty({shape.Blocks()}, bytes);
  group_scales_ = at::empty({shape.Groups()}, floats);
  const at::Tensor largest = at::empty({shape.Blocks()}, floats);
  const kernels::Nf4Task task = {shape.size, ElementOf(weight.scalar_type()),
                                 weight.const_data_ptr(), codes_.mutable_data_ptr<uint8_t>(),
                                 largest.mutable_data_ptr<float>()};
  team_->ForBlocks(shape.Blocks(), [&](int64_t first, int64_t last) {
    kernels::Kernels().quantise_nf4(task, first, last);
  });
  kernels::QuantiseNf4Scales(largest.const_data_ptr<float>(), shape.Blocks(),
                             scales_.mutable_data_ptr<uint8_t>(),
                             group_scales_.mutable_data_ptr<float>(), &offset_);
}

void QuantisedMatrix::QuantiseInt8(const at::Tensor& weight) {
  codes_ = at::empty({rows_, columns_}, at::TensorOptions(at::kChar));
  scales_ = at::empty({rows_}, at::TensorOptions(at::kFloat));
  for (int64_t first = 0; first < rows_; first += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, rows_ - first);
    const at::Tensor rows = weight.narrow(0, first, count).to(at::kFloat);
    const at::Tensor scale = rows.abs().amax(1).div_(127);
    scales_.narrow(0, first, count).copy_(scale);
    const at::Tensor inverse = scale.reciprocal().masked_fill_(scale.eq(0), 0).unsqueeze(1);
    codes_.narrow(0, first, count).copy_(rows.mul(inverse).round_().clamp_(-127, 127));
  }
}

int64_t QuantisedMatrix::bytes() const { return MatrixBytes(format_, rows_, columns_, 0); }

kernels::Nf4Codes QuantisedMatrix::Nf4() const {
  kernels::Nf4Codes codes;
  codes.size = rows_ * columns_;
  codes.codes = codes_.const_data_ptr<uint8_t>();
  codes.scales = scales_.const_data_ptr<uint8_t>();
  codes.group_scales = group_scales_.const_data_ptr<float>();
  codes.offset = offset_;
  codes.map = map_.const_data_ptr<float>();
  return codes;
}

kernels::Int8Codes QuantisedMatrix::Int8() const {
  return {rows_, columns_, codes_.const_data_ptr<int8_t>(), scales_.const_data_ptr<float>()};
}

at::Tensor QuantisedMatrix::Numbers(at::ScalarType type) const {
  const at::Tensor out = codes_.is_cpu()
                             ? team_->Room(rows_, columns_, type)
                             : at::empty({rows_, columns_}, codes_.options().dtype(type));
  if (out.is_cpu() && format_ == BaseWeights::kNf4) {
    const kernels::Nf4Codes codes = Nf4();
    void* const numbers = out.mutable_data_ptr();
    team_->ForBlocks(codes.Blocks(), [&](int64_t first, int64_t last) {
      kernels::Kernels().dequantise_nf4(codes, ElementOf(type), numbers, first, last);
    });
  } else if (out.is_cpu()) {
    for (int64_t first = 0; first < rows_; first += kRowsAtOnce) {
      const int64_t count = std::min(kRowsAtOnce, rows_ - first);
      out.narrow(0, first, count)
          .copy_(codes_.narrow(0, first, count)
                     .to(at::kFloat)
                     .mul_(scales_.narrow(0, first, count).unsqueeze(1)));
    }
  } else {
#ifdef PIVOTAL_CUDA_DECODER
    const c10::cuda::CUDAGuard guard(out.device());
    void* const stream = c10::cuda::getCurrentCUDAStream(out.device().index()).stream();
    if (format_ == BaseWeights::kNf4)
      kernels::cuda::LaunchDequantise(Nf4(), ElementOf(type), out.mutable_data_ptr(), stream);
    else
      kernels::cuda::LaunchDequantise(Int8(), ElementOf(type), out.mutable_data_ptr(), stream);
#else
    Fail("this build has no kernels for weights in 4 or 8 bits on {}; take --device cpu",
         out.device().str());
#endif
  }
  return out;
}

at::Tensor QuantisedMatrix::Multiply(const at::Tensor& x, const at::Tensor& bias) const {
#ifdef PIVOTAL_CUDA_DECODER
  const int64_t rows = x.numel() / columns_;
  if (x.is_cuda() && kernels::cuda::FewRowsProduct::Supports(rows, columns_)) {
    const at::Tensor input = x.contiguous();
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = rows_;
    const at::Tensor out = at::empty(shape, x.options());
    const kernels::cuda::FewRowsProduct task = {
        .type = ElementOf(x.scalar_type()),
        .rows = rows,
        .outputs = rows_,
        .inputs = columns_,
        .x = input.const_data_ptr(),
        .bias = bias.defined() ? bias.const_data_ptr() : nullptr,
        .out = out.mutable_data_ptr()};
    const c10::cuda::CUDAGuard guard(x.device());
    void* const stream = c10::cuda::getCurrentCUDAStream(x.device().index()).stream();
    if (format_ == BaseWeights::kNf4)
      kernels::cuda::LaunchFewRowsProduct(task, Nf4(), stream);
    else
      kernels::cuda::LaunchFewRowsProduct(task, Int8(), stream);
    return out;
  }
#endif
  const at::Tensor numbers = Numbers(x.scalar_type());
  return bias.defined() ? at::linear(x, numbers, bias) : at::linear(x, numbers);
}

namespace {

// Carries a matrix from the forward to the backward pass.
struct MatrixHolder : torch::CustomClassHolder {
  explicit MatrixHolder(std::shared_ptr<const QuantisedMatrix> matrix)
      : matrix(std::move(matrix)) {}
  std::shared_ptr<const QuantisedMatrix> matrix;
};

struct QuantisedFunction : torch::autograd::Function<QuantisedFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const c10::intrusive_ptr<MatrixHolder>& holder,
                            const std::optional<at::Tensor>& bias) {
    context->saved_data["matrix"] = c10::IValue::make_capsule(holder);
    return holder->matrix->Multiply(x, bias.value_or(at::Tensor()));
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto holder =
        c10::static_intrusive_pointer_cast<MatrixHolder>(context->saved_data["matrix"].toCapsule());
    const at::Tensor& gradient = gradients[0];
    return {at::matmul(gradient, holder->matrix->Numbers(gradient.scalar_type())), at::Tensor(),
            at::Tensor()};
  }
};

}  // namespace

at::Tensor MultiplyQuantised(const std::shared_ptr<const QuantisedMatrix>& w, const at::Tensor& x,
                             const at::Tensor& bias) {
  if (!at::GradMode::is_enabled() || !x.requires_grad()) return w->Multiply(x, bias);
  return QuantisedFunction::apply(x, c10::make_intrusive<MatrixHolder>(w),
                                  bias.defined() ? std::optional(bias) : std::nullopt);
}

}  // namespace pivotal::model
