// Apache-2.0. Weights that are in memory only while a layer uses them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace pivotal::model {

// Brings the weights of a layer into memory before a pass uses them. A model that has a gate
// (PhiModel::set_gate) calls it for each of its layers, in the order of the pass.
class WeightGate {
 public:
  virtual ~WeightGate() = default;
  virtual void Open(int64_t layer) = 0;   // before a layer's forward pass
  virtual void Close(int64_t layer) = 0;  // after it
  virtual void OpenBackward(int64_t layer) = 0;
  // All gradients of the layer's weights are complete.
  virtual void CloseBackward(int64_t layer) = 0;
};

// Return `x`, the input of a layer and its output, and call the gate: now, and when a backward pass
// comes there.
at::Tensor EnterLayer(WeightGate& gate, int64_t layer, const at::Tensor& x);
at::Tensor LeaveLayer(WeightGate& gate, int64_t layer, const at::Tensor& x);

// Free the memory of a tensor that owns all of it, and give it new memory with any content. The
// tensor and what refers to its memory, such as a recorded forward pass, stay valid: they see the
// new memory.
void FreeMemoryOf(const at::Tensor& tensor);
void GiveMemoryTo(const at::Tensor& tensor);
bool HasMemory(const at::Tensor& tensor);

}  // namespace pivotal::model
