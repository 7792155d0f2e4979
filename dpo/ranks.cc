// Apache-2.0.
#include "dpo/ranks.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>

#include "data/error.h"
#include "data/file_sink.h"

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

bool Ranks::Same(const std::string& text) {
  std::string sum = data::Sha256OfText(text);
  const std::string here = sum;
  const auto bytes = static_cast<int64_t>(sum.size());
  Broadcast(at::from_blob(sum.data(), {bytes}, at::TensorOptions(at::kByte)), 0);
  return !Any(sum != here);
}

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
