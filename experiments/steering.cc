// Apache-2.0.
#include "experiments/steering.h"

#include <ATen/TensorOperators.h>
#include <c10/core/InferenceMode.h>

#include <nlohmann/json.hpp>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/trace_store.h"
#include "experiments/run_config.h"
#include "pts/pair_choice.h"

namespace pivotal::experiments {
namespace {

using nlohmann::ordered_json;

std::vector<float> Floats(const at::Tensor& row) {
  const at::Tensor values = row.to(at::kCPU, at::kFloat).contiguous();
  return {values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel()};
}

class SteeringWriter {
 public:
  SteeringWriter(const model::PhiModel& model, data::FileSink& sink)
      : model_(model), sink_(sink),
        differences_(static_cast<std::size_t>(model.config().num_hidden_layers)) {}

  // `pair`: the token gives one.
  void Add(const data::QueryTrace& query, int32_t number, const data::PivotalToken& token, bool pair) {
    const std::vector<TokenId> prefix = data::PrefixOf(query, number, token.position - 1);
    const auto before = static_cast<int64_t>(prefix.size()) - 1;
    const auto outputs_after = [&](TokenId side) {
      std::vector<TokenId> sequence = prefix;
      sequence.push_back(side);
      return model_.LayerOutputs(sequence);
    };
    const auto accepted = pair ? outputs_after(token.chosen) : model_.LayerOutputs(prefix);
    const auto rejected = pair ? outputs_after(token.rejected) : std::vector<at::Tensor>();
    for (std::size_t layer = 0; layer < differences_.size(); ++layer) {
      sink_.Write(ordered_json{{"id", fmt::format("{}/{}/{}", query.id, number, token.position)},
                               {"position", before + 1},
                               {"token", query.responses[number].tokens[token.position - 1]},
                               {"delta", token.after - token.before},
                               {"layer", layer},
                               {"hidden", Floats(accepted[layer][before])}}
                      .dump() + "\n");
      if (!pair) continue;
      const at::Tensor difference = accepted[layer][before + 1].to(at::kDouble) - rejected[layer][before + 1].to(at::kDouble);
      at::Tensor& sum = differences_[layer];
      sum = sum.defined() ? sum + difference : difference;
    }
    ++summary_.tokens;
    summary_.pairs += pair;
  }

  SteeringSummary Finish() {
    summary_.layers = std::ssize(differences_);
    for (std::size_t layer = 0; layer < differences_.size() && summary_.pairs > 0; ++layer)
      sink_.Write(ordered_json{{"layer", layer},
                               {"pairs", summary_.pairs},
                               {"mean_difference", Floats(differences_[layer] / static_cast<double>(summary_.pairs))}}
                      .dump() + "\n");
    return summary_;
  }

 private:
  const model::PhiModel& model_;
  data::FileSink& sink_;
  std::vector<at::Tensor> differences_;  // sums, [hidden] a layer
  SteeringSummary summary_;
};

}  // namespace

SteeringSummary WriteSteering(const std::filesystem::path& run, const std::filesystem::path& output,
                              Progress& progress) {
  const c10::InferenceMode inference;
  const RunConfig config = LoadRunConfig(run);
  const auto traces = data::TraceStore(run).ReadAll();
  const LoadedModel model = LoadModel(config.model);
  data::FileSink sink(output);
  SteeringWriter writer(model.phi(), sink);
  progress.Begin("steering", std::ssize(traces), "problems");
  for (std::size_t i = 0; i < traces.size(); ++i) {
    if (progress.StopRequested()) throw Interrupted("stopped while computing hidden states");
    const auto no_pairs = pts::WhyNoPairs(traces[i], {.gap = config.search.gap});
    for (int32_t r = 0; r < std::ssize(traces[i].responses); ++r) {
      const auto& pivotal = traces[i].responses[r].pivotal;
      for (std::size_t t = 0; t < pivotal.size(); ++t)
        writer.Add(traces[i], r, pivotal[t], no_pairs[r][t] == pts::NoPair::kNone);
    }
    progress.Update(static_cast<int64_t>(i) + 1, "");
  }
  progress.End();
  const SteeringSummary summary = writer.Finish();
  sink.Commit();
  return summary;
}

}  // namespace pivotal::experiments
