// Apache-2.0. Trading time for memory in the backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace pivotal::model {

// f(x), of which only x is kept for the backward pass: f runs again there (arXiv 1604.06174).
// `f` must give the same result both times and may use weights that ask for gradients; it is kept as
// long as the graph.
at::Tensor Recompute(std::function<at::Tensor(const at::Tensor&)> f, const at::Tensor& x);

}  // namespace pivotal::model
