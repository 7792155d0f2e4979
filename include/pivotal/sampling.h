// Apache-2.0. How tokens are sampled from a model's distribution. (C++17, so that nvcc reads it.)
#pragma once

namespace pivotal {

// Filters apply in the order in which transformers applies them: temperature, top-k, top-p, min-p.
struct SamplingParams {
  double temperature = 1.0;  // 0 or more; 0 takes the most probable token (the lowest id on ties)
  int top_k = 0;             // keeps the k most probable tokens; 0: off
  double top_p = 1.0;        // in (0, 1]; keeps the smallest set with at least this mass
  double min_p = 0.0;  // in [0, 1); keeps tokens with at least min_p times the top probability

  // Throws Error that names the field and its range.
  void Validate() const;
};

}  // namespace pivotal
