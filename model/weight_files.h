// Apache-2.0. A model's weights in the safetensors files of a folder: which tensors become which
// weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "data/weights/safetensors.h"
#include "model/phi_config.h"
#include "model/quantised_matrix.h"

namespace pivotal::model {

// Rows of a weight that are a tensor of their own in the file.
struct WeightPart {
  std::string name;
  int64_t rows;
};

// Returns the matrices of queries, keys and values whose rows make the layer "....qkv_proj", or
// those of gate and up that make "....gate_up_proj", as a Llama names them. Returns none for other
// layers and for models without such layers. Names may go on after the layer's: ".weight".
std::vector<WeightPart> PartsOf(std::string_view layer, const PhiConfig& config);

// Returns whether a model whose config ties the output matrix to the embedding has another output
// matrix in its file. transformers takes that one. Throws Error if the model cannot have one.
bool HasOwnHead(const data::SafetensorsReader& reader, const PhiConfig& config);

enum class WeightUse {
  kAny,       // the model owns its weights
  kRollouts,  // read-only: on a CPU, weights stay in the mapped file and in its type, if `dtype`
              // would not be narrower
  kShapes     // nobody reads a weight: tensors have shape and type, and no memory
};

// The weights of a model by their names.
struct ReadWeightMaps {
  std::map<std::string, at::Tensor> plain;
  QuantisedMap quantised;  // those of linear layers, if they are to be
};

// Names the weights to read, of those with these shapes (meta tensors). Others get shape and type,
// and no memory (FreeMemoryOf).
using ChooseWeights =
    std::function<std::set<std::string>(const std::map<std::string, at::Tensor>& shapes)>;

// Reads the weights that `config` implies as `dtype` to `device`, or those that `choose` names if
// it is given; holds at most one of them twice.
// Those of linear layers are stored as `base` says: each is quantised, from the numbers of the
// file, before the next one is read.
// Throws Error that names the file and the tensor if one is missing, is damaged (NaN, infinity), or
// has no place in the model. Tensors of types that hold no weights, such as I64, are left out with
// a warning.
ReadWeightMaps ReadWeights(const std::shared_ptr<const data::SafetensorsReader>& reader,
                           const PhiConfig& config, at::Device device, at::ScalarType dtype,
                           WeightUse use, BaseWeights base = BaseWeights::kPlain,
                           const ChooseWeights& choose = {});
// Returns the weights of a model as WeightUse::kShapes has them.
std::map<std::string, at::Tensor> Shapes(const PhiConfig& config, at::ScalarType dtype);

}  // namespace pivotal::model
