// Apache-2.0. How far training has moved the weights.
#pragma once

#include "experiments/train/train_settings.h"
#include "model/phi_model.h"
#include "model/tensor_transfer.h"

namespace pivotal::experiments {

// Returns the norm of the change of the trained weights, divided by their norm before. The weights
// before are read from the folder of `settings`, one at a time; `fetch` returns those of `model`
// now. For an adapter, the change is that
// of the matrices which it is added to. Throws Error if that folder cannot be read, or holds the
// weights under other names.
double WeightChange(const model::PhiModel& model, const ModelSettings& settings,
                    const model::FetchTensor& fetch);

}  // namespace pivotal::experiments
