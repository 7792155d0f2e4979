// Apache-2.0. Tensors of which each is on one rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>

#include "dpo/ranks.h"
#include "model/tensor_transfer.h"

namespace pivotal::dpo {

// Tensors by name. Each is whole on the rank that `owners` names, or on all if it names none. On
// other ranks it has shape and type only (a meta tensor).
struct OwnedTensors {
  std::map<std::string, at::Tensor> tensors;
  std::map<std::string, int> owners;
};

// Returns a tensor with the shape and type of `like` and no memory.
at::Tensor Shape(const at::Tensor& like);

// Runs `f` on rank 0. While it runs, it can fetch each tensor, one at a time, on `device`; other
// ranks send theirs and return when it ends. What `f` throws goes on on rank 0 alone. All ranks
// must call it with the same names.
void OnRank0(const OwnedTensors& tensors, c10::Device device, Ranks& ranks,
             const std::function<void(const model::FetchTensor& fetch)>& f);

}  // namespace pivotal::dpo
