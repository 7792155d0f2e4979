// Apache-2.0.
#include "dpo/stochastic_round.h"

#include <ATen/Context.h>
#include <ATen/ops/randint.h>

#include "data/error.h"

namespace pivotal::dpo {

at::Tensor StochasticRound(const at::Tensor& x, uint64_t seed) {
  if (x.scalar_type() != at::kFloat) Fail("stochastic rounding takes float32");
  at::Generator generator = at::globalContext().defaultGenerator(x.device()).clone();
  generator.set_current_seed(seed);
  // bfloat16 is the upper half of a float32: what is added to the lower half carries with the
  // probability that the lower half stands for.
  const at::Tensor noise =
      at::randint(0, 1 << 16, x.sizes(), generator, x.options().dtype(at::kInt));
  const at::Tensor bits = x.view(at::kInt).add(noise).bitwise_and_(at::Scalar(-(1 << 16)));
  return bits.view(at::kFloat).to(at::kBFloat16);
}

}  // namespace pivotal::dpo
