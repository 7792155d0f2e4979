// Apache-2.0. How small a change a recipe can find, before it runs.
#pragma once

#include "experiments/ablation/crossed_mean.h"

namespace pivotal::experiments {

// Returns the true change that MeanTest finds at `level` (two-sided) with probability `power`, for
// cells of this variance. The probability is the mean over the mean squares of 200 tables that fill
// their distribution evenly. Parts of the variance below 0 count as 0. With one seed the change is
// that of this seed. Infinity with fewer than two problems.
double SmallestChange(const CellVariance& variance, int seeds, int problems, double level,
                      double power = 0.8);

}  // namespace pivotal::experiments
