// Apache-2.0.
#include "model/decode_products.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "model/layers.h"

namespace pivotal::model {
namespace {

// Calls f(layer) for the matrices of a step, in their order.
template <typename F>
void ForEachMatrix(const Weights& weights, F&& f) {
  for (const LayerWeights& layer : weights.layers)
    for (const Linear* linear : {&layer.qkv, &layer.query, &layer.key, &layer.value, &layer.output,
                                 &layer.up, &layer.down})
      if (linear->defined()) f(*linear);
  f(weights.head);
}

double MedianOf(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::ranges::nth_element(values, middle);
  return *middle;
}

double TimeOf(DeviceStream* stream, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  if (stream == nullptr) {
    run();
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  std::unique_ptr<Moment> begin, end;
  stream->Run([&] {
    begin = stream->Mark();
    run();
    end = stream->Mark();
  });
  return begin->SecondsUntil(*end);
}

}  // namespace

std::optional<double> ProductsSeconds(const PhiModel& model, int64_t rows, int repeats,
                                      DeviceStream* stream) {
  if (model.config().mlp == PhiConfig::Mlp::kExperts) return {};
  const c10::InferenceMode inference;
  std::map<int64_t, at::Tensor> inputs;  // by width
  std::unique_ptr<Recording> recording;
  const auto products = [&] {
    ForEachMatrix(model.weights(),
                  [&](const Linear& layer) { Product(layer, inputs.at(layer.in())); });
  };
  const auto prepare = [&] {
    ForEachMatrix(model.weights(), [&](const Linear& layer) {
      at::Tensor& input = inputs[layer.in()];
      if (!input.defined()) input = at::randn({rows, layer.in()}, model.options());
    });
    products();  // libraries allocate workspaces, which can't be recorded
  };
  TimeOf(stream, prepare);
  if (stream != nullptr) recording = stream->Record(products);
  const auto run = [&] { recording != nullptr ? recording->Replay() : products(); };
  TimeOf(stream, run);
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) seconds.push_back(TimeOf(stream, run));
  return MedianOf(std::move(seconds));
}

std::optional<double> ProductsSeconds(const PhiModel& model, int64_t rows, int repeats) {
  std::unique_ptr<DeviceStream> stream;
#ifdef PIVOTAL_CUDA_DECODER
  if (model.options().device().is_cuda()) stream = MakeCudaStream(model.options().device());
#endif
  return ProductsSeconds(model, rows, repeats, stream.get());
}

}  // namespace pivotal::model
