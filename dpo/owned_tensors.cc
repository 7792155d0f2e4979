// Apache-2.0.
#include "dpo/owned_tensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <cstdint>
#include <iterator>

namespace pivotal::dpo {
namespace {

constexpr int64_t kEnd = -1;

// Tells all ranks the place of the next tensor, which rank 0 chooses. Returns it.
int64_t Announce(int64_t place, Ranks& ranks) {
  const at::Tensor next = at::full({}, place, at::TensorOptions(at::kLong));
  ranks.Broadcast(next, 0);
  return next.item<int64_t>();
}

// Returns the tensor on its owner and on rank 0, an empty one elsewhere.
at::Tensor Send(const at::Tensor& tensor, int owner, c10::Device device, Ranks& ranks) {
  const at::Tensor whole = tensor.is_meta()
                               ? at::empty(tensor.sizes(), tensor.options().device(device))
                               : tensor.detach().contiguous();
  ranks.Broadcast(whole, owner);
  return whole;
}

}  // namespace

at::Tensor Shape(const at::Tensor& like) {
  return at::empty(like.sizes(), at::TensorOptions(at::kMeta).dtype(like.dtype()));
}

void OnRank0(const OwnedTensors& tensors, c10::Device device, Ranks& ranks,
             const std::function<void(const model::FetchTensor& fetch)>& f) {
  const auto owner_of = [&](const std::string& name) {
    const auto it = tensors.owners.find(name);
    return it == tensors.owners.end() ? 0 : it->second;
  };
  if (ranks.rank() != 0) {
    for (int64_t place = Announce(0, ranks); place != kEnd; place = Announce(0, ranks)) {
      const auto& [name, tensor] = *std::next(tensors.tensors.begin(), place);
      Send(tensor, owner_of(name), device, ranks);
    }
    return;
  }
  const model::FetchTensor fetch = [&](const std::string& name) {
    const auto it = tensors.tensors.find(name);
    const int owner = owner_of(name);
    if (owner == 0) return it->second;
    Announce(std::distance(tensors.tensors.begin(), it), ranks);
    return Send(it->second, owner, device, ranks);
  };
  try {
    f(fetch);
  } catch (...) {
    Announce(kEnd, ranks);
    throw;
  }
  Announce(kEnd, ranks);
}

}  // namespace pivotal::dpo
