// Apache-2.0. The matrix products of a decode step alone: what the rest of a step is measured by.
#pragma once

#include <cstdint>
#include <optional>

#include "model/cuda_stream.h"
#include "model/phi_model.h"

namespace pivotal::model {

// Returns the median time, in seconds, of `repeats` runs of the products of one decode step: each
// linear layer of `model` and the head, for `rows` rows, by LibTorch's products in the model's
// type. On a GPU they are one CUDA graph, timed by the device's clock. Returns nothing for models
// with experts: what they multiply depends on the tokens.
std::optional<double> ProductsSeconds(const PhiModel& model, int64_t rows, int repeats);

// Does the same on a stream, by its clock where it has one; null: at once, without a recording.
std::optional<double> ProductsSeconds(const PhiModel& model, int64_t rows, int repeats,
                                      DeviceStream* stream);

}  // namespace pivotal::model
