// Apache-2.0.
#include "model/weight_gate.h"

#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <c10/core/Allocator.h>
#include <torch/csrc/autograd/custom_function.h>

namespace pivotal::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr const char* kGate = "gate";
constexpr const char* kLayer = "layer";

// Returns its input; its backward pass calls `kBackward` of the gate.
template <void (WeightGate::*kBackward)(int64_t layer)>
struct GateFunction : torch::autograd::Function<GateFunction<kBackward>> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, int64_t gate,
                            int64_t layer) {
    context->saved_data[kGate] = gate;
    context->saved_data[kLayer] = layer;
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    auto* gate = reinterpret_cast<WeightGate*>(context->saved_data[kGate].toInt());
    (gate->*kBackward)(context->saved_data[kLayer].toInt());
    return {gradients[0], at::Tensor(), at::Tensor()};
  }
};

// The backward pass comes to a layer's output first, and to its input last.
using LeaveFunction = GateFunction<&WeightGate::OpenBackward>;
using EnterFunction = GateFunction<&WeightGate::CloseBackward>;

}  // namespace

at::Tensor EnterLayer(WeightGate& gate, int64_t layer, const at::Tensor& x) {
  gate.Open(layer);
  if (!at::GradMode::is_enabled()) return x;
  // Gradients come back to here even if nothing before this layer is trained.
  const at::Tensor input = x.requires_grad() ? x : x.detach().requires_grad_(true);
  return EnterFunction::apply(input, reinterpret_cast<int64_t>(&gate), layer);
}

at::Tensor LeaveLayer(WeightGate& gate, int64_t layer, const at::Tensor& x) {
  gate.Close(layer);
  if (!at::GradMode::is_enabled()) return x;
  return LeaveFunction::apply(x, reinterpret_cast<int64_t>(&gate), layer);
}

void FreeMemoryOf(const at::Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(c10::DataPtr(nullptr, tensor.device()));
  storage->set_nbytes(0);
}

void GiveMemoryTo(const at::Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  const auto bytes = static_cast<std::size_t>(tensor.nbytes());
  storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}

bool HasMemory(const at::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->storage_initialized();
}

}  // namespace pivotal::model
