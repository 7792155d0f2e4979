// Apache-2.0.
#include "experiments/score_run.h"

#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/error.h"
#include "data/file_sink.h"
#include "data/json_input.h"
#include "data/pair_file.h"
#include "dpo/batch.h"

namespace pivotal::experiments {
namespace {

using nlohmann::json;

struct Line {
  json object;
  data::PromptCompletion item;
  std::vector<float> logprobs;
  int64_t length() const {
    return static_cast<int64_t>(item.prompt_ids.size() + item.completion_ids.size());
  }
};

// Lines that are sorted by length together, so that batches need little padding.
constexpr std::size_t kWindow = 512;

void ScoreBatch(const model::PhiModel& model, std::span<Line* const> lines) {
  dpo::BatchBuilder builder(model);
  for (const Line* line : lines) builder.Add(line->item.prompt_ids, line->item.completion_ids);
  const at::Tensor logprobs =
      dpo::TargetLogProbs(model, builder.Build()).to(at::kCPU, at::kFloat).contiguous();
  const float* next = logprobs.const_data_ptr<float>();
  for (Line* line : lines) {
    line->logprobs.assign(next, next + line->item.completion_ids.size());
    next += line->item.completion_ids.size();
  }
}

void ScoreWindow(const model::PhiModel& model, std::vector<Line>& window, int64_t batch_tokens) {
  std::vector<Line*> order;
  for (Line& line : window)
    if (!line.item.completion_ids.empty()) order.push_back(&line);
  std::ranges::stable_sort(order, {}, &Line::length);
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first + 1;  // the longest is the last one
    while (last < order.size() &&
           order[last]->length() * static_cast<int64_t>(last + 1 - first) <= batch_tokens)
      ++last;
    ScoreBatch(model, std::span(order).subspan(first, last - first));
    first = last;
  }
}

}  // namespace

ScoreSummary ScoreFile(const ScoreSettings& settings, Progress& progress) {
  data::RequireAbsent(settings.output);
  const int64_t total = data::CountJsonLines(settings.input);  // finds what is no JSON before the model loads
  const LoadedModel model = LoadModel(settings.model);
  const c10::InferenceMode inference;
  data::JsonLineReader reader(settings.input);
  data::FileSink sink(settings.output);
  ScoreSummary summary;
  progress.Begin("score", total, "lines");
  for (bool more = true; more;) {
    std::vector<Line> window;
    for (Line line; window.size() < kWindow && (more = reader.Next(line.object));) {
      line.item = data::ReadPromptCompletion(
          line.object, {model.tokenizer(), model.prompt_format, /*adds_eos=*/false}, reader.Where());
      dpo::RequireFits(model.phi(), line.length(), reader.Where());
      window.push_back(std::move(line));
    }
    ScoreWindow(model.phi(), window, settings.batch_tokens);
    for (Line& line : window) {
      for (float logprob : line.logprobs) summary.logprob += logprob;
      ++summary.lines;
      summary.tokens += static_cast<int64_t>(line.logprobs.size());
      line.object["completion_ids"] = line.item.completion_ids;
      line.object["logprobs"] = line.logprobs;
      sink.Write(line.object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
    }
    progress.Update(summary.lines, fmt::format("{} tokens", summary.tokens));
    if (progress.StopRequested())
      throw Interrupted(fmt::format("stopped after {} of {} lines; nothing was written",
                                    summary.lines, total));
  }
  sink.Commit();
  progress.End();
  return summary;
}

}  // namespace pivotal::experiments
