// Apache-2.0. Which gradients travel together, and to whom.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/phi_model.h"

namespace pivotal::dpo {

// Parts of the model in the order of the forward pass: the embedding, the layers from 0 on, the rest. A
// backward pass is done with a part when it reaches one below; with the embedding, which the output may
// share, when it ends.
constexpr int kEmbeddingPart = -1;
constexpr int kHeadPart = 1 << 30;
int PartOf(const std::string& weight);

// Whole tensors that follow each other in the backward pass, and the rank that keeps their optimizer state.
struct Bucket {
  std::vector<std::string> names;
  int64_t elements = 0;
  int last_part = kHeadPart;  // the lowest
  int owner = 0;
};

constexpr int64_t kBucketElements = 6'500'000;  // 26 MB of float32

// All of `trainable` in the order of the backward pass, in buckets of at most `limit` elements, of single
// tensors that are larger, and small enough that `ranks` owners get about the same number of elements.
std::vector<Bucket> PlanBuckets(const model::ParameterMap& trainable, int ranks,
                                int64_t limit = kBucketElements);

}  // namespace pivotal::dpo
