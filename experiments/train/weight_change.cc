// Apache-2.0.
#include "experiments/train/weight_change.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <string>
#include <vector>

#include "data/weights/safetensors.h"
#include "model/lora.h"
#include "model/tensor_transfer.h"
#include "model/weight_files.h"

namespace pivotal::experiments {
namespace {

// Returns the square of the norm.
double Square(const at::Tensor& x) {
  const double norm = at::linalg_vector_norm(x, 2, {}, false, at::kDouble).item<double>();
  return norm * norm;
}

// Returns the square of the norm of the product b a, without computing the product.
double SquareOfProduct(const at::Tensor& b, const at::Tensor& a) {
  return (b.t().mm(b) * a.mm(a.t())).sum().item<double>();
}

struct Squares {
  double change = 0, before = 0;
};

Squares OfWeights(const model::PhiModel& model, const std::filesystem::path& folder,
                  const model::FetchTensor& fetch) {
  const data::SafetensorsReader reader(folder);
  const auto read = [&](const std::string& name, const at::Tensor& weight) {
    const at::Tensor tensor =
        model::ToTensor(reader.Get(name), weight.device(), weight.scalar_type()).to(at::kFloat);
    reader.Release(name);
    return tensor;
  };
  Squares squares;
  for (const auto& [name, weight] : model.Trainable()) {
    std::vector<at::Tensor> parts;  // of a weight that the file has in parts, as a Llama does
    if (!reader.Contains(name))
      for (const model::WeightPart& part : model::PartsOf(name, model.config()))
        parts.push_back(read(part.name, weight));
    const at::Tensor before = parts.empty() ? read(name, weight) : at::cat(parts);
    squares.change += Square(fetch(name).detach().to(at::kFloat) - before);
    squares.before += Square(before);
  }
  return squares;
}

Squares OfAdapter(const model::PhiModel& model, const std::string& start,
                  const model::FetchTensor& fetch) {
  std::shared_ptr<const model::Adapter> first;
  if (!start.empty()) first = model::LoadAdapter(start, model);
  Squares squares;
  for (const auto& [layer, update] : model.adapter()->updates) {
    at::Tensor a = update.a.detach().to(at::kDouble),
               b = update.b.detach().to(at::kDouble) * update.scale;
    if (first != nullptr) {
      if (const auto found = first->updates.find(layer); found != first->updates.end()) {
        a = at::cat({a, found->second.a.to(at::kDouble)});
        b = at::cat({b, found->second.b.to(at::kDouble) * -found->second.scale}, 1);
      }
    }
    squares.change += SquareOfProduct(b, a);
    const std::string name = layer + ".weight";
    const auto quantised = model.quantised().find(name);
    squares.before +=
        Square(quantised == model.quantised().end() ? fetch(name)
                                                    : quantised->second->Numbers(at::kFloat));
  }
  return squares;
}

}  // namespace

double WeightChange(const model::PhiModel& model, const ModelSettings& settings,
                    const model::FetchTensor& fetch) {
  const c10::NoGradGuard no_grad;
  const Squares squares = model.adapter() != nullptr ? OfAdapter(model, settings.adapter, fetch)
                                                     : OfWeights(model, settings.folder, fetch);
  // Rounding can make the sum of products slightly negative.
  return std::sqrt(std::max(0.0, squares.change) / squares.before);
}

}  // namespace pivotal::experiments
