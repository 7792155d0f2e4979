// Apache-2.0. What the sampling policy makes of a model's distribution. (In C++17, which nvcc reads.)
#pragma once

namespace pivotal::kernels {

// Filters apply in the order in which transformers applies them: temperature, top-k, top-p, min-p.
struct SamplingParams {
  double temperature = 1.0;  // 0: the most probable token (lowest id on ties)
  int top_k = 0;             // 0: off
  double top_p = 1.0;        // in (0, 1]; keeps the smallest set with at least this mass
  double min_p = 0.0;        // in [0, 1); keeps tokens with at least min_p of the top probability

  // Throws std::invalid_argument that names the field and its range.
  void Validate() const;
};

}  // namespace pivotal::kernels
