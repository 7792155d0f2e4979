// Apache-2.0.
#include "dpo/ranks.h"

#include <ATen/ops/full.h>

#include <string>

#include "data/error.h"

namespace pivotal::dpo {

void Ranks::Sum(const at::Tensor& values) {
  Reduce(values, 0);
  Broadcast(values, 0);
}

double Ranks::Sum(double here) {
  const at::Tensor sum = at::full({}, here, at::TensorOptions(at::kDouble));
  Sum(sum);
  return sum.item<double>();
}

bool Ranks::Any(bool here) { return Sum(here ? 1.0 : 0.0) > 0; }

void Ranks::Together(const std::function<void()>& part) {
  std::string why;
  try {
    part();
  } catch (const Interrupted& stop) {
    why = stop.what();
  }
  if (Any(!why.empty())) throw Interrupted(why.empty() ? "stopped" : why);
}

Ranks& Alone() {
  static Ranks alone;
  return alone;
}

}  // namespace pivotal::dpo
