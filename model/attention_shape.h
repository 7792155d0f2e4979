// Apache-2.0. How a config's heads attend, as kernels take it.
#pragma once

#include "kernels/paged_attention.h"
#include "model/phi_config.h"

namespace pivotal::model {

kernels::AttentionShape ShapeOf(const PhiConfig& config);

}  // namespace pivotal::model
