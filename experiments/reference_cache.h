// Apache-2.0. The reference's log-probabilities of pairs, kept beside their file.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "data/preference_pair.h"
#include "data/progress.h"
#include "dpo/ranks.h"
#include "model/phi_model.h"

namespace pivotal::experiments {

// FILE.reference.json
std::filesystem::path ReferenceCachePath(const std::filesystem::path& file);

// dpo::ReferenceLogProbs of the pairs of `file` under `model`, whose weights have the fingerprint
// `weights_sha256`: from the cache if it holds those of the same weights in the same type and of the same
// tokens, else computed, `batch` pairs at a time, and kept there. A stale or damaged cache, or a folder
// that cannot be written, is told about and hinders nothing. Of several ranks, rank 0 reads and writes.
at::Tensor CachedReference(const std::filesystem::path& file,
                           std::span<const data::PreferencePair> pairs, const model::PhiModel& model,
                           const std::string& weights_sha256, int64_t batch, Progress& progress,
                           dpo::Ranks& ranks);

}  // namespace pivotal::experiments
