// Apache-2.0. The rows of a prefill as sequences of many queries each.
#pragma once

#include <optional>
#include <span>

#include "model/decoder.h"
#include "model/ragged_attention.h"

namespace pivotal::model {

// Plans the rows of a prefill: rows that follow one another in one sequence are one ragged
// sequence, whose keys are the whole sequence up to its last row. Keys are given by their slots:
// block * 16 + token. Returns nothing if the rows do not suit: if keys would be gathered more than
// four times as often as there are rows. Rows that share their past then read it once by the kernel
// for decode steps.
std::optional<RaggedPlan> PlanPrefill(std::span<const DecodeRow> rows);

}  // namespace pivotal::model
